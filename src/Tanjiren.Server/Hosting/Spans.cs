using System.Diagnostics;

namespace Tanjiren.Server.Hosting;

/// <summary>The server's own spans, beside those that the framework makes of requests.</summary>
internal static class Spans
{
    public const string SourceName = "Tanjiren.Server";

    public static readonly ActivitySource Source = new(SourceName);
}
