using System.Net;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>How often codes may be tried and looked at. Null: go on.</summary>
internal sealed class InvitationLimits(AttemptLimiter limiter, InvitationOptions options, Counters counters)
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(5);

    public Problem? TakeTry(IPAddress? address, string code) =>
        // The address first: one address can then not use up the codes' windows, nor the limiter's room.
        Limited(limiter.Take("invitation-address:" + AttemptLimiter.KeyOf(address), options.TriesPerAddress, Window)
            ?? limiter.Take("invitation-code:" + CredentialSecret.HashOf(code), options.TriesPerCode, Window));

    public Problem? TakeLook(IPAddress? address) => Limited(limiter.Take("invitation-look:" + AttemptLimiter.KeyOf(address), options.TriesPerAddress, Window));

    private Problem? Limited(int? seconds)
    {
        if (seconds is null) return null;
        counters.Add(Counted.InvitationsLimited);
        return SignIn.TooMany("uses of invitations", seconds.Value);
    }
}
