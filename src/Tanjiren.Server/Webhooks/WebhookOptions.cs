namespace Tanjiren.Server.Webhooks;

/// <summary>Settings of webhooks: <c>Tanjiren:Webhooks</c>. For receivers in a network of one's own; nobody else needs any.</summary>
internal sealed class WebhookOptions
{
    /// <summary>
    /// Whether receivers may have loopback and private addresses. Every admin of every organization can then have the server speak TLS to its neighbours. Default: false.
    /// </summary>
    public bool AllowPrivate { get; init; }

    /// <summary>A file of PEM certificates of the authorities that receivers are trusted by, instead of the operating system's. Default: none.</summary>
    public string? TrustedCertificates { get; init; }
}
