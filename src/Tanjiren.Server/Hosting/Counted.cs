using System.Reflection;

namespace Tanjiren.Server.Hosting;

/// <summary>One thing that is counted: its name at <c>/api/status</c>, and the metric that exports it, with the value of <c>tanjiren.result</c> if there are several.</summary>
internal sealed class Counted(string name, string metric, string unit, string description, string? result = null)
{
    private const string ClaimsText = "Claims of steps.";
    private const string CompletionsText = "Results of steps.";
    private const string ReleasesText = "Steps given back as never started.";
    private const string RenewalsText = "Renewals of leases.";
    private const string LoginsText = "Sign-ins by password that failed.";
    private const string PairingsText = "Tries to pair a machine.";
    private const string InvitationsText = "Uses of invitations.";
    private const string ProofsText = "Proofs of workstations that were not accepted.";

    public static readonly Counted Claims = new("claims", "tanjiren.claims", "{claim}", ClaimsText, "granted");
    public static readonly Counted ClaimsRepeated = new("claimsRepeated", "tanjiren.claims", "{claim}", ClaimsText, "repeated");
    public static readonly Counted ClaimsRefused = new("claimsRefused", "tanjiren.claims", "{claim}", ClaimsText, "refused");
    public static readonly Counted Completions = new("completions", "tanjiren.completions", "{completion}", CompletionsText, "applied");
    public static readonly Counted CompletionsRepeated = new("completionsRepeated", "tanjiren.completions", "{completion}", CompletionsText, "repeated");
    public static readonly Counted Released = new("released", "tanjiren.releases", "{release}", ReleasesText, "applied");
    public static readonly Counted ReleasesRepeated = new("releasesRepeated", "tanjiren.releases", "{release}", ReleasesText, "repeated");
    public static readonly Counted Requeues = new("requeues", "tanjiren.requeues", "{step}", "Steps queued again because nobody could say how their process ended.");
    public static readonly Counted WritesRefused = new("writesRefused", "tanjiren.writes.refused", "{write}", "Writes to steps under a lease that is no longer theirs, or in conflict with what is stored.");
    public static readonly Counted Renewals = new("renewals", "tanjiren.renewals", "{renewal}", RenewalsText, "renewed");
    public static readonly Counted RenewalsRefused = new("renewalsRefused", "tanjiren.renewals", "{renewal}", RenewalsText, "refused");
    public static readonly Counted Heartbeats = new("heartbeats", "tanjiren.heartbeats", "{heartbeat}", "Heartbeats of workstations.");
    public static readonly Counted LogChunks = new("logChunks", "tanjiren.log.chunks", "{chunk}", "Chunks of output that were taken.");
    public static readonly Counted LoginsRefused = new("loginsRefused", "tanjiren.logins.failed", "{login}", LoginsText, "refused");
    public static readonly Counted LoginsLimited = new("loginsLimited", "tanjiren.logins.failed", "{login}", LoginsText, "limited");
    public static readonly Counted OAuthTokens = new("oauthTokens", "tanjiren.oauth.tokens", "{token}", "OAuth access tokens given out.");
    public static readonly Counted OAuthReuses = new("oauthReuses", "tanjiren.oauth.reuses", "{grant}", "Grants that ended because an old refresh token was shown again.");
    public static readonly Counted Pairings = new("pairings", "tanjiren.pairings", "{pairing}", PairingsText, "applied");
    public static readonly Counted PairingsRefused = new("pairingsRefused", "tanjiren.pairings", "{pairing}", PairingsText, "refused");
    public static readonly Counted PairingsLimited = new("pairingsLimited", "tanjiren.pairings", "{pairing}", PairingsText, "limited");
    public static readonly Counted InvitationsAccepted = new("invitationsAccepted", "tanjiren.invitations", "{invitation}", InvitationsText, "accepted");
    public static readonly Counted InvitationsLimited = new("invitationsLimited", "tanjiren.invitations", "{invitation}", InvitationsText, "limited");
    public static readonly Counted ProofsRefused = new("proofsRefused", "tanjiren.proofs.refused", "{proof}", ProofsText, "refused");
    public static readonly Counted NoncesAsked = new("noncesAsked", "tanjiren.proofs.refused", "{proof}", ProofsText, "nonce");

    public string Name => name;
    public string Metric => metric;
    public string Unit => unit;
    public string Description => description;
    public string? Result => result;

    public static IReadOnlyList<Counted> All { get; } =
        [.. typeof(Counted).GetFields(BindingFlags.Static | BindingFlags.Public).Select(field => field.GetValue(null)).OfType<Counted>()];
}
