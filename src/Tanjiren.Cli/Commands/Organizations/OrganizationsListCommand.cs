using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Organizations;

/// <summary><c>organizations list</c>.</summary>
internal static class OrganizationsListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("list", "List the organizations that you are in")
        {
            Details = "A token acts in one of them, which is marked. To act in another, sign in there: `auth login --email EMAIL --organization NAME`, or choose it on the page of `auth login`.",
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Organizations.ListAsync(cancellation);
            if (output.TryWrite(cli, parse, new Page<OrganizationBody> { Items = all }, w => w.PageOrganizationBody, o => o.Id)) return ExitCode.Ok;
            var here = (await client.Organizations.MeAsync(cancellation)).Organization.Id;
            var table = new TableView(cli).Columns("NAME", "HERE", "ID");
            foreach (var one in all) table.Row(one.Name, one.Id == here ? "*" : "", one.Id);
            table.Write();
            return ExitCode.Ok;
        });
        return command;
    }
}
