using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Webhook;

/// <summary><c>webhook show</c>.</summary>
internal static class WebhookShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var json = Options.Json("Print the webhook as JSON");
        var command = new CliCommand("show", "Show where the organization's approvals are told (admins)")
        {
            Options = { json },
            Details = "Never the secret; a lost one is replaced with `webhook set URL --rotate-secret`.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var webhook = await client.Webhook.GetAsync(cancellation);
            if (parse.GetValue(json)) Json.Write(cli, webhook, w => w.WebhookBody);
            else
                new FieldList().Add("url", webhook.Url).Add("set", Text.Instant(webhook.UpdatedAt, cli.Clock)).Add("by", webhook.UpdatedBy)
                    .Add("since", Text.Instant(webhook.CreatedAt, cli.Clock)).Write(cli.Out);
            return ExitCode.Ok;
        });
        return command;
    }
}
