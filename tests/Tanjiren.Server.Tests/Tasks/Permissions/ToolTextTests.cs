using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks.Permissions;

namespace Tanjiren.Server.Tests.Tasks.Permissions;

/// <summary>What patterns read of the arguments of coding agents, in the forms that these have.</summary>
public sealed class ToolTextTests
{
    [Theory]
    [InlineData("""{"command":"git status","description":"look"}""", "git status")]
    [InlineData("""{"command":["bash","-lc","git status"],"workdir":"/src"}""", "bash -lc git status")]
    [InlineData("""{"command":[]}""", null)] // it runs something, and nobody can say what
    [InlineData("""{"command":{"program":"git"}}""", null)]
    [InlineData("""{"command":["a",1]}""", null)]
    [InlineData("""{"url":"https://example.org"}""", "https://example.org")]
    [InlineData("""{"file_path":"/other"}""", "/a /b")]
    [InlineData("[1]", "/a /b")]
    public void What_a_tool_would_do_is_its_command_its_address_or_its_paths(string arguments, string? whole)
    {
        var tool = new PermissionTool { Title = "title", Paths = ["/a", "/b"], Arguments = JsonDocument.Parse(arguments).RootElement };
        ToolText.Whole(tool).ShouldBe(whole == "/a /b" ? ["/a", "/b"] : whole is null ? [] : [whole]);
        ToolText.Whole(tool with { ArgumentsCut = true }).ShouldBeEmpty();
    }

    [Fact]
    public void Without_any_of_these_it_is_the_title()
    {
        ToolText.Whole(new PermissionTool { Title = "title" }).ShouldBe(["title"]);
        ToolText.Whole(new PermissionTool()).ShouldBeEmpty();
    }

    [Fact]
    public void Everything_that_was_told_is_searched()
    {
        var tool = new PermissionTool { Title = "title", Paths = ["/a"], Arguments = JsonDocument.Parse("""{"x":{"y":["rm","-r",["deep"]]},"n":1,"argv":["git","push"],"b":true}""").RootElement };
        var lines = ToolText.All(tool).Split('\n');
        foreach (var line in new[] { "title", "rm", "deep", "git push", "/a", "x" }) lines.ShouldContain(line);
    }
}
