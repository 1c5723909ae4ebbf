using System.Globalization;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>How far this machine's clock is from the server's. The server refuses proofs of a clock that is too far off, and an agent never corrects it by itself.</summary>
internal static class ClockCheck
{
    private const string Name = "clock";
    /// <summary>The server lets a clock be this far off unless its owner sets otherwise (<c>Tanjiren:DeviceTrust:ClockSkewSeconds</c>).</summary>
    private static readonly TimeSpan Refused = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Noted = TimeSpan.FromSeconds(5);

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, RunAsync);

    private static async Task<Finding> RunAsync(DoctorScene scene, CancellationToken cancellation)
    {
        if (scene.Server is not { } server) return Finding.Ok(Name, "not compared: no server is known");
        // The connection is not on the bill: the second answer takes one round trip.
        using (await scene.Http.GetAsync(new Uri(server, "/healthz"), cancellation)) { }
        var clock = scene.Cli.Clock;
        var (sent, began) = (clock.GetUtcNow(), clock.GetTimestamp());
        using var answer = await scene.Http.GetAsync(new Uri(server, "/healthz"), cancellation);
        var trip = clock.GetElapsedTime(began);
        if (answer.Headers.Date is not { } said) return Finding.Warning(Name, "the answer carries no date", "see whether something between this machine and the server takes it out");
        var offset = Offset(sent, trip, said);
        var words = string.Create(CultureInfo.InvariantCulture, $"{Math.Abs(offset.TotalSeconds):0.0} s {(offset < TimeSpan.Zero ? "behind" : "ahead of")} the server's (measured to {(trip.TotalSeconds / 2) + 0.5:0.0} s)");
        return offset.Duration() switch
        {
            var far when far > Refused => Finding.Problem(Name, $"this machine's clock is {words}: the server refuses its agent", "set the clock, and have it kept by NTP (`timedatectl set-ntp true`)"),
            var far when far > Noted => Finding.Warning(Name, $"this machine's clock is {words}", "have it kept by NTP (`timedatectl set-ntp true`); from 30 s on the server refuses the agent"),
            _ => Finding.Ok(Name, $"within {Noted.TotalSeconds:0} s of the server's"),
        };
    }

    /// <summary>Of this clock against the server's, which has told its whole seconds at about the middle of the round trip.</summary>
    internal static TimeSpan Offset(DateTimeOffset sent, TimeSpan trip, DateTimeOffset said) => sent + trip / 2 - (said + TimeSpan.FromSeconds(0.5));
}
