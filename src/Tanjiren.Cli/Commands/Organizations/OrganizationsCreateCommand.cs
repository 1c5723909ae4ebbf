using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Organizations;

/// <summary><c>organizations create</c>.</summary>
internal static class OrganizationsCreateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("NAME") { Description = "Name, unique on the server" };
        var command = new CliCommand("create", "Make an organization that you own")
        {
            Arguments = { name },
            Details = "You stay signed in where you are. To act in the new one, sign in there: `auth login --email EMAIL --organization NAME`, or choose it on the page of `auth login`.",
        };
        var output = new OutputOptions(command, "Print the organization as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var made = await client.Organizations.CreateAsync(new CreateOrganizationRequest { Name = parse.GetValue(name) }, cancellation);
            if (!output.TryWrite(cli, parse, made, w => w.OrganizationBody, made.Id))
            {
                cli.Out.WriteLine($"{Text.Safe(made.Name)}  {made.Id}");
                cli.Say($"next: `tanvrit-compute auth login --server {ServerAccessRules.Text(client.Api.Access.Url)} --organization {Text.CommandLine([Text.Safe(made.Name)])} --email YOU`");
            }
            return ExitCode.Ok;
        });
        return command;
    }
}
