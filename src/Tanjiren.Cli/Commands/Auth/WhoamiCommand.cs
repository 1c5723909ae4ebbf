using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth whoami</c>.</summary>
internal static class WhoamiCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("whoami", "Show who is signed in, and where");
        var output = new OutputOptions(command, "Print the answer of GET /api/auth/me");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var me = await client.Api.GetAsync("/api/auth/me", WireJson.Default.IdentityBody, cancellation);
            if (!output.TryWrite(cli, parse, me, w => w.IdentityBody, me.UserId))
                new FieldList()
                    .Add("user", me.Email)
                    .Add("role", Words.Of(me.Role))
                    .Add("organization", $"{me.Organization.Name} ({me.Organization.Id})")
                    .Add("workspace", client.Api.Access.Workspace)
                    .Add("server", ServerAccessRules.Text(client.Api.Access.Url))
                    .Write(cli.Out);
            return ExitCode.Ok;
        });
        return command;
    }
}
