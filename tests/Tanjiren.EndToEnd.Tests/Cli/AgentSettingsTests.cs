using Tanjiren.Agent;
using Tanjiren.Cli;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>agent.yaml under TANVRIT_HOME: one that is wrong lets no agent start.</summary>
public sealed class AgentSettingsTests : IDisposable
{
    private readonly CliRun cli = new();

    public void Dispose() => cli.Dispose();

    [Fact]
    public async Task Agent_run_ends_with_1_and_names_everything_that_is_wrong()
    {
        var file = await WriteAsync("limits:\n  memory: 512\nmaxConcurrent: none\n");
        (await cli.InvokeAsync("agent", "run")).ShouldBe(AgentExit.Failed);
        cli.Error.Text.ShouldContain($"error: {file}:2:3: limits.memory is no setting; did you mean memoryMb?");
        cli.Error.Text.ShouldContain($"error: {file}:3:16: maxConcurrent is 'none'; give a whole number from 1 to 1000");
        Directory.GetFileSystemEntries(cli.Home).ShouldBe([file]);
    }

    [Fact]
    public async Task Up_starts_nothing()
    {
        var file = await WriteAsync("limits:\n  cpu: 0\n");
        (await cli.InvokeAsync("up", "--port", "0", "--", "true")).ShouldBe(ExitCode.OwnFailure);
        cli.Error.Text.ShouldContain($"error: {file}:2:8: limits.cpu is '0'");
        File.Exists(Path.Combine(cli.Home, "local", "tanjiren.db")).ShouldBeFalse();
    }

    [Fact]
    public async Task What_is_too_short_to_mask_is_told_and_hinders_nothing()
    {
        var file = await WriteAsync("mask:\n  literals:\n    - hush1\n");
        (await cli.InvokeAsync("agent", "run")).ShouldNotBe(AgentExit.Failed);
        cli.Error.Text.ShouldContain($"warning: {file}:3:7: mask.literals[0] is not masked: it has 5 characters");
        cli.Error.Text.ShouldNotContain("hush1");
    }

    private async Task<string> WriteAsync(string text)
    {
        var file = Path.Combine(cli.Home, "agent.yaml");
        await File.WriteAllTextAsync(file, text, TestContext.Current.CancellationToken);
        return file;
    }
}
