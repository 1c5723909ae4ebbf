using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Webhook;

/// <summary>What became of a message, for people.</summary>
internal static class DeliveryWords
{
    /// <summary>Whether a try has ended. While the first is on its way there is neither.</summary>
    public static bool HasOutcome(WebhookDeliveryBody delivery) => delivery.LastStatus is not null || delivery.LastError is not null;

    /// <summary>The last answer: its status, what went wrong, or both.</summary>
    public static string Last(WebhookDeliveryBody delivery) =>
        HasOutcome(delivery) ? string.Join(", ", new[] { delivery.LastStatus?.ToString(), Text.Safe(delivery.LastError) }.Where(part => !string.IsNullOrEmpty(part))) : "-";

    public static string Outcome(WebhookDeliveryBody delivery) => delivery switch
    {
        { State: WebhookDeliveryState.Delivered } => $"is delivered: the receiver answered {delivery.LastStatus}",
        { State: WebhookDeliveryState.Failed } => $"is given up: {Last(delivery)}",
        _ when HasOutcome(delivery) => $"is not delivered: {Last(delivery)}; it is tried again",
        _ => "is on its way; see `tanvrit-compute webhook deliveries`",
    };
}
