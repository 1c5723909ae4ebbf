namespace Tanjiren.Cli.Hosting;

/// <summary>Which of this program's processes exports; the default of <c>service.name</c>.</summary>
internal enum TelemetryRole { Command, Server, Agent, Up }

/// <summary>
/// Switches OTLP export on, if the standard environment variables of OpenTelemetry ask for it. Without them none of its code is loaded. It never changes how a
/// command ends: what a collector does not take within <see cref="FlushLimit"/> is lost.
/// </summary>
internal static class Telemetry
{
    public static readonly TimeSpan FlushLimit = TimeSpan.FromSeconds(2);

    /// <summary>Until it is disposed, which sends what is left; null when nothing is asked for.</summary>
    public static IDisposable? Start(CliContext cli, TelemetryRole role)
    {
        var (traces, metrics) = Signals(cli.Variable);
        // A command is over before the first interval of metrics is.
        metrics &= role != TelemetryRole.Command;
        if (!traces && !metrics) return null;
        try
        {
            return new TelemetryExport(role, traces, metrics, cli.Variable);
        }
        catch (Exception e)
        {
            // Whatever it is, such as a certificate that is not there: what the command is for goes on.
            // Whoever runs a job wants its output and nothing else; whoever starts a service wants to know.
            if (role != TelemetryRole.Command) cli.Say($"nothing is exported by OTLP: {e.Message} (see the OTEL_EXPORTER_OTLP_… variables)");
            return null;
        }
    }

    /// <summary>Which signals the variables ask for.</summary>
    public static (bool Traces, bool Metrics) Signals(Func<string, string?> variable)
    {
        if (string.Equals(variable("OTEL_SDK_DISABLED"), "true", StringComparison.OrdinalIgnoreCase)) return (false, false);
        return (Asks("TRACES"), Asks("METRICS"));

        bool Asks(string signal) =>
            !string.Equals(variable($"OTEL_{signal}_EXPORTER"), "none", StringComparison.OrdinalIgnoreCase)
            && (!string.IsNullOrEmpty(variable("OTEL_EXPORTER_OTLP_ENDPOINT")) || !string.IsNullOrEmpty(variable($"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")));
    }
}
