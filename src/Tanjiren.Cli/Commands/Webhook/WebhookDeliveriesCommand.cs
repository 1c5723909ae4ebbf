using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Webhook;

/// <summary><c>webhook deliveries</c>.</summary>
internal static class WebhookDeliveriesCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var limit = Options.Number("--limit", "N", "The newest N messages (default 50)", 1, 10_000);
        var command = new CliCommand("deliveries", "List the messages to the webhook and what became of them (admins)")
        {
            Options = { limit },
            Details = "They are kept for eight days. A receiver's answer is known by its status only.",
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Webhook.DeliveriesAsync(parse.GetValue(limit) ?? WireLimits.DefaultPageSize, cancellation);
            if (output.TryWrite(cli, parse, new Page<WebhookDeliveryBody> { Items = all }, w => w.PageWebhookDeliveryBody, d => d.Id)) return ExitCode.Ok;
            var table = new TableView(cli).Columns("EVENT", "WHEN", "STATE", "TRIES", "LAST", "NEXT", "ID");
            foreach (var one in all)
                table.Row(one.Event, Text.Instant(one.CreatedAt, cli.Clock), State(one.State), one.Tries.ToString(), DeliveryWords.Last(one), Text.Instant(one.NextTryAt, cli.Clock), one.Id);
            table.Write();
            return ExitCode.Ok;
        });
        return command;
    }

    private static Cell State(WebhookDeliveryState state) => state switch
    {
        WebhookDeliveryState.Delivered => Cell.Good(Words.Of(state)),
        WebhookDeliveryState.Failed => Cell.Bad(Words.Of(state)),
        _ => Cell.Warn(Words.Of(state)),
    };
}
