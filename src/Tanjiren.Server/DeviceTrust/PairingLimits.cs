using System.Net;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>How often a code may be tried, to pair or to recover: one count for both, for a guess is a guess.</summary>
internal sealed class PairingLimits(AttemptLimiter limiter, DeviceTrustOptions options, Counters counters)
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(5);

    /// <summary>Counts one try; the problem when it is one too many. The address first: one address can then not use up the codes' windows, nor the limiter's room.</summary>
    public Problem? Take(IPAddress? address, string codeHash)
    {
        if ((limiter.Take("pair-address:" + AttemptLimiter.KeyOf(address), options.PairingsPerAddress, Window)
            ?? limiter.Take("pair-code:" + codeHash, options.PairingsPerCode, Window)) is not { } seconds) return null;
        counters.Add(Counted.PairingsLimited);
        return SignIn.TooMany("tries to pair", seconds);
    }
}
