using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Members;

/// <summary><c>members list</c>.</summary>
internal static class MembersListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("list", "List the members of the organization and their roles");
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Organizations.MembersAsync(cancellation);
            if (output.TryWrite(cli, parse, new Page<MemberBody> { Items = all }, w => w.PageMemberBody, m => m.UserId)) return ExitCode.Ok;
            var table = new TableView(cli).Columns("EMAIL", "ROLE", "NAME", "ID");
            foreach (var one in all.OrderByDescending(m => m.Role).ThenBy(m => m.Email, StringComparer.Ordinal)) table.Row(one.Email, Words.Of(one.Role), one.Name ?? "-", one.UserId);
            table.Write();
            return ExitCode.Ok;
        });
        return command;
    }
}
