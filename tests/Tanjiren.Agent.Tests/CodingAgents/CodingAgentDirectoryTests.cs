using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Settings;

namespace Tanjiren.Agent.Tests.CodingAgents;

public sealed class CodingAgentDirectoryTests
{
    private static readonly Dictionary<string, CodingAgentSettings> None = [];

    [Fact]
    public void What_stands_on_PATH_is_found_in_the_order_of_preference()
    {
        var directory = new CodingAgentDirectory(None, program => program is "qwen" or "codex-acp" or "claude-code-acp");
        directory.Names().ShouldBe(["claude", "codex", "qwen"]);
        directory.Find(null)!.Settings.Command.ShouldBe(["claude-code-acp"]);
        directory.Find("qwen")!.Settings.Command.ShouldBe(["qwen", "--acp"]);
        directory.Find("gemini").ShouldBeNull();
        new CodingAgentDirectory(None, _ => true).Find("claude")!.Settings.Command.ShouldBe(["claude-agent-acp"]);
    }

    [Fact]
    public void What_agent_yaml_names_wins_and_is_announced_only_when_it_can_be_started()
    {
        var configured = new Dictionary<string, CodingAgentSettings>
        {
            ["claude"] = new() { Command = ["/opt/mine"] }, ["zed"] = new() { Command = ["zed-acp"] }, ["house"] = new() { Command = ["house-acp"] }, ["gone"] = new() { Command = ["/no/such"] },
        };
        var directory = new CodingAgentDirectory(configured, program => program != "/no/such");
        directory.Names().ShouldBe(["claude", "codex", "opencode", "gemini", "qwen", "house", "zed"]);
        directory.Find("claude")!.Settings.Command.ShouldBe(["/opt/mine"]);
        directory.Find("gone").ShouldBeNull();
    }

    [Fact]
    public void Who_is_to_be_spoken_to_more_than_once_is_no_program_that_reads_one_prompt()
    {
        var configured = new Dictionary<string, CodingAgentSettings> { ["claude"] = new() { Command = ["llm"], Protocol = CodingAgentProtocol.Stdin }, ["zed"] = new() { Command = ["zed-acp"] } };
        var directory = new CodingAgentDirectory(configured, program => program is "llm" or "zed-acp");
        directory.Find(null)!.Name.ShouldBe("claude");
        directory.Find(null, converses: true)!.Name.ShouldBe("zed");
        directory.Find("claude", converses: true).ShouldBeNull();
    }

    [Fact]
    public void Nothing_is_announced_as_nothing() => new CodingAgentDirectory(None, _ => false).Names().ShouldBeNull();
}
