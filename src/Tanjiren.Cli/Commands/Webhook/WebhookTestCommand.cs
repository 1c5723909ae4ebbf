using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Webhook;

/// <summary><c>webhook test</c>: a message, and what became of its first try.</summary>
internal static class WebhookTestCommand
{
    private const int NotDelivered = 1;

    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("test", "Send a message to the webhook and wait for the receiver's answer (admins)")
        {
            Details = """
                It is a message of the type webhook.test, signed and sent like any other. What is not taken is tried again for 24 hours, whether this command waits or not.

                The exit code: 0 the receiver took it, 1 the first try failed, 125 tanvrit-compute itself failed.
                """,
        };
        var output = new OutputOptions(command, "Print the delivery as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var delivery = await FollowAsync(cli, client, await client.Webhook.TestAsync(cancellation), cancellation);
            if (!output.TryWrite(cli, parse, delivery, w => w.WebhookDeliveryBody, delivery.Id)) cli.Say($"{delivery.Id} {DeliveryWords.Outcome(delivery)}");
            return delivery.State == WebhookDeliveryState.Delivered ? ExitCode.Ok : NotDelivered;
        });
        return command;
    }

    /// <summary>Until its first try has an outcome; <see cref="Settings.ClientTimeouts.WebhookTry"/> at most.</summary>
    private static async Task<WebhookDeliveryBody> FollowAsync(CliContext cli, ClientSession client, WebhookDeliveryBody sent, CancellationToken cancellation)
    {
        var began = cli.Clock.GetTimestamp();
        var backoff = new Backoff(cli.Timeouts, cli.Clock);
        while (cli.Clock.GetElapsedTime(began) < cli.Timeouts.WebhookTry)
        {
            await backoff.PauseAsync(cancellation);
            // The newest first: others may have been sent since, not hundreds.
            sent = (await client.Webhook.DeliveriesAsync(WireLimits.MaxPageSize, cancellation)).FirstOrDefault(d => d.Id == sent.Id)
                ?? throw new CliException("the message is gone: the webhook was removed", "`tanvrit-compute webhook show` tells what is set");
            if (sent.State != WebhookDeliveryState.Waiting || DeliveryWords.HasOutcome(sent)) return sent;
        }
        return sent;
    }
}
