using Tanjiren.Agent.Settings;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Settings;

/// <summary>agent.yaml: what it says, and what is said of one that is wrong.</summary>
public sealed class AgentSettingsFileTests
{
    private const string Whole = """
        # of the build machine
        limits:
          cpu: 1.5
          memoryMb: 4096
          gpuCount: 0
        idleSuspendSeconds: 0
        labels:
          room: attic
          rack: 12
        maxConcurrent: 3
        codingAgents:
          claude:
            command: [claude-agent-acp, --quiet]
            mode: read-only
            environment: { CLAUDE_HOME: /srv/claude }
          plain:
            command:
              - ask
            protocol: stdin
        mask:
          environment: [NPM_TOKEN]
          literals:
            - "correct horse"
        """;

    [Fact]
    public void A_whole_file_is_read()
    {
        var (settings, faults) = AgentSettingsFile.Parse("agent.yaml", Whole);
        faults.ShouldBeEmpty();
        settings.Limits.ShouldBe(new LimitSettings { Cpu = 1.5, MemoryMb = 4096, GpuCount = 0 });
        (settings.IdleSuspendSeconds, settings.MaxConcurrent).ShouldBe((0, 3));
        settings.Labels.ShouldBe(new Dictionary<string, string> { ["room"] = "attic", ["rack"] = "12" }, ignoreOrder: true);
        var claude = settings.CodingAgents["claude"];
        (string.Join(' ', claude.Command), claude.Protocol, claude.Mode, claude.Environment["CLAUDE_HOME"])
            .ShouldBe(("claude-agent-acp --quiet", CodingAgentProtocol.Acp, "read-only", "/srv/claude"));
        settings.CodingAgents["plain"].Protocol.ShouldBe(CodingAgentProtocol.Stdin);
        (settings.Mask.Environment.Single(), settings.Mask.Literals.Single()).ShouldBe(("NPM_TOKEN", "correct horse"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("# nothing\n")]
    [InlineData("limits:\nlabels:\nidleSuspendSeconds: ~\n")]
    public void Nothing_means_every_default(string text)
    {
        var (settings, faults) = AgentSettingsFile.Parse("agent.yaml", text);
        faults.ShouldBeEmpty();
        settings.Limits.ShouldBe(new LimitSettings());
        (settings.IdleSuspendSeconds, settings.MaxConcurrent, settings.Labels.Count, settings.CodingAgents.Count).ShouldBe((600, null, 0, 0));
    }

    [Fact]
    public void A_file_that_is_not_there_means_every_default()
    {
        using var directory = new TemporaryDirectory();
        AgentSettingsFile.Read(directory.File("agent.yaml")).Faults.ShouldBeEmpty();
    }

    [Theory]
    // text -> place, and words that must stand in what is said
    [InlineData("limits: { memory: 1 }", "1:11", "limits.memory is no setting", "did you mean memoryMb?")]
    [InlineData("limit:\n  cpu: 1", "1:1", "limit is no setting", "did you mean limits?")]
    [InlineData("nonsense: 1", "1:1", "nonsense is no setting", "The file takes limits, idleSuspendSeconds")]
    [InlineData("limits:\n  cpu: two", "2:8", "limits.cpu is 'two'", "above 0")]
    [InlineData("limits:\n  cpu: 0", "2:8", "limits.cpu is '0'", "above 0")]
    [InlineData("limits:\n  cpu: -1", "2:8", "limits.cpu is '-1'", "above 0")]
    [InlineData("limits:\n  cpu: [1]", "2:8", "limits.cpu is a list", "above 0")]
    [InlineData("limits:\n  memoryMb: 15", "2:13", "limits.memoryMb is '15'", "from 16 to")]
    [InlineData("limits:\n  memoryMb: 4GB", "2:13", "limits.memoryMb is '4GB'", "a whole number")]
    [InlineData("limits:\n  memoryMb: \"4096\"", "2:13", "'4096' in quotes", "a whole number")]
    [InlineData("limits:\n  gpuCount: -1", "2:13", "limits.gpuCount is '-1'", "from 0 to")]
    [InlineData("limits:\n  cpu: 1\n  cpu: 2", "3:3", "limits.cpu stands here a second time", "line 2")]
    [InlineData("limits: 5", "1:9", "limits is text", "give names with values")]
    [InlineData("- limits", "1:1", "the file is a list", "limits:")]
    [InlineData("idleSuspendSeconds: 5", "1:21", "idleSuspendSeconds is 5", "0 (never) or 10 to 86400")]
    [InlineData("idleSuspendSeconds: 100000", "1:21", "idleSuspendSeconds is '100000'", "86400")]
    [InlineData("maxConcurrent: 0", "1:16", "maxConcurrent is '0'", "from 1 to 1000")]
    [InlineData("labels:\n  room:", "2:8", "labels.room is nothing", "give text")]
    [InlineData("labels:\n  room: \"\"", "2:9", "labels.room is ''", "1 to 256 characters")]
    [InlineData("labels:\n  room: { a: b }", "2:9", "labels.room is a map", "give text")]
    [InlineData("codingAgents:\n  claude: { mode: x }", "2:3", "codingAgents.claude.command is missing", "command: [claude-agent-acp]")]
    [InlineData("codingAgents:\n  a b: { command: [x] }", "2:3", "codingAgents.a b is no name", "letters")]
    [InlineData("codingAgents:\n  x: { command: claude }", "2:17", "codingAgents.x.command is 'claude'", "give a list")]
    [InlineData("codingAgents:\n  x: { command: [] }", "2:17", "codingAgents.x.command is empty", "give program and arguments")]
    [InlineData("codingAgents:\n  x: { command: [a], protocol: tcp }", "2:32", "codingAgents.x.protocol is 'tcp'", "acp or stdin")]
    [InlineData("codingAgents:\n  x: { command: [a], environment: { 1A: b } }", "2:37", "'1A'", "no name of a variable")]
    [InlineData("mask:\n  environment: [OK, A-B]", "2:21", "mask.environment[1] is no name of a variable", "give names")]
    [InlineData("mask:\n  literals: [[abcdefgh]]", "2:14", "mask.literals[0] is not text", "put it in quotes")]
    [InlineData("mask:\n  literals: abcdefgh", "2:13", "mask.literals is not a list", "one a line")]
    [InlineData("limits: *x", "1:9", "alias", "write out")]
    [InlineData("limits: &x { cpu: 1 }", "1:9", "anchor", "remove it")]
    [InlineData("limits: !!map { cpu: 1 }", "1:9", "tag", "remove it")]
    [InlineData("maxConcurrent: 1\n---\nmaxConcurrent: 2", "2:1", "a second document", "remove the line")]
    public void What_is_wrong_is_said_with_its_place_its_value_and_what_to_do(string text, string place, string what, string next)
    {
        var fault = AgentSettingsFile.Parse("/home/x/agent.yaml", text).Faults.ShouldHaveSingleItem().ToString();
        fault.ShouldStartWith($"/home/x/agent.yaml:{place}: ");
        fault.ShouldContain(what);
        fault.ShouldContain(next);
    }

    [Theory]
    [InlineData("limits: [")]
    [InlineData("limits:\n\tcpu: 1")]
    [InlineData("a: b: c")]
    public void What_is_no_YAML_is_said_with_the_place_where_reading_ended(string text) =>
        AgentSettingsFile.Parse("agent.yaml", text).Faults.ShouldHaveSingleItem().Line.ShouldBeInRange(1, 3);

    [Fact]
    public void Everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file()
    {
        var faults = AgentSettingsFile.Parse("agent.yaml", "limits:\n  cpu: no\n  memory: 1\nmaxConcurrent: 0\nmask:\n  environment: [a, 1, 2]\n").Faults;
        faults.Select(f => (f.Line, f.Column)).ShouldBe([(2L, 8L), (3L, 3L), (4L, 16L), (6L, 20L), (6L, 23L)]);
    }

    [Fact]
    public void What_shall_be_masked_is_never_shown()
    {
        foreach (var text in (string[])["mask:\n  literals: [[hush123]]", "mask:\n  literals: hush12345", "mask:\n  literals: { hush123: 1 }", "mask:\n  environment: [hush-123]"])
            AgentSettingsFile.Parse("agent.yaml", text).Faults.ShouldHaveSingleItem().ToString().ShouldNotContain("hush");
    }

    [Fact]
    public void A_value_that_is_too_short_to_mask_is_left_out_with_a_warning_at_its_place()
    {
        var read = AgentSettingsFile.Parse("agent.yaml", "mask:\n  literals: [hush1, hush12]\n");
        read.Faults.ShouldBeEmpty();
        read.Settings.Mask.Literals.ShouldBe(["hush12"]);
        var warning = read.Warnings.ShouldHaveSingleItem().ToString();
        warning.ShouldStartWith("agent.yaml:2:14: mask.literals[0] is not masked: it has 5 characters");
        warning.ShouldNotContain("hush");
    }

    [Fact]
    public void A_file_that_can_not_be_read_is_a_fault_and_not_the_defaults()
    {
        using var directory = new TemporaryDirectory();
        var path = directory.File("agent.yaml");
        File.WriteAllText(path, new string('#', 300_000));
        AgentSettingsFile.Read(path).Faults.ShouldHaveSingleItem().Message.ShouldContain("300000 bytes");
        AgentSettingsFile.Read(directory.Path).Faults.ShouldHaveSingleItem().Message.ShouldContain("can't be read");
        File.CreateSymbolicLink(directory.File("link"), directory.File("missing"));
        AgentSettingsFile.Read(directory.File("link")).Faults.ShouldHaveSingleItem().Message.ShouldContain("can't be read");
    }
}
