using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Webhook;

/// <summary><c>webhook remove</c>.</summary>
internal static class WebhookRemoveCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var yes = Options.Flag("--yes", "Do not ask", "-y");
        var command = new CliCommand("remove", "Tell approvals to nobody any more (admins)")
        {
            Options = { yes },
            Details = "What was not delivered yet is dropped, and the secret is gone: the next webhook has another.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            if (!parse.GetValue(yes) && !cli.Confirm("Remove the webhook and its secret?", "removing the webhook"))
            {
                cli.Say("nothing removed");
                return ExitCode.Cancelled;
            }
            await client.Webhook.RemoveAsync(cancellation);
            cli.Say("the webhook is removed");
            return ExitCode.Ok;
        });
        return command;
    }
}
