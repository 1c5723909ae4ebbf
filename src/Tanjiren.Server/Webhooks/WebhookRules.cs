using System.Net;
using System.Security.Cryptography;
using System.Text;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Webhooks;

/// <summary>What a URL must be, how a message is signed, and when it is tried again. Pure; docs/concepts/webhooks.md has the same numbers.</summary>
internal static class WebhookRules
{
    public const int SecretBytes = 32;

    /// <summary>After this a message is given up: the receiver was away for longer than people would act on it.</summary>
    public static readonly TimeSpan GiveUpAfter = TimeSpan.FromHours(24);

    /// <summary>Messages of an organization that may wait; one more drops the oldest: a receiver that is away must not fill the database.</summary>
    public const int MaxWaiting = 500;

    /// <summary>How long a server has a webhook, and one of its messages, to itself; three times what a try and its record may take.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(60);

    /// <summary>How long a delivery is kept after the event: a week after it was given up.</summary>
    public static readonly TimeSpan Keep = GiveUpAfter + TimeSpan.FromDays(7);

    private const int MaxUrlLength = 2000;
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LongestPause = TimeSpan.FromHours(1);

    /// <summary>The URL as it is stored. A name is not looked up here: what it leads to counts at each delivery.</summary>
    public static string CheckUrl(string? value, bool allowPrivate, FieldErrors errors)
    {
        var text = errors.Text(value, MaxUrlLength, "url");
        if (errors.Any) return text;
        if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || uri.Scheme != Uri.UriSchemeHttps || uri.Host.Length == 0)
            errors.Add("url", "must be of the form https://HOST[:PORT][/PATH][?QUERY]");
        else if (uri.UserInfo.Length > 0)
            errors.Add("url", "must not hold a user name or password: requests are signed instead");
        else if (uri.Fragment.Length > 0)
            errors.Add("url", "must not have a fragment: it would not be sent");
        else if (uri.AbsoluteUri.Length > MaxUrlLength)
            errors.Add("url", $"has more than {MaxUrlLength} characters when it is escaped");
        else if (IPAddress.TryParse(uri.DnsSafeHost, out var address) && !PublicAddress.MayReach(address, allowPrivate))
            errors.Add("url", "is at an address that is not public");
        else
            return uri.AbsoluteUri;
        return text;
    }

    /// <summary><c>v1,</c> and the base64 of the HMAC-SHA256 of <c>id.timestamp.body</c>, as the Standard Webhooks have it.</summary>
    /// <param name="secret">The bytes after <c>whsec_</c>.</param>
    /// <param name="id">The same at every try.</param>
    /// <param name="timestamp">Unix seconds of this try.</param>
    /// <param name="body">Exactly what is sent.</param>
    public static string Sign(byte[] secret, string id, long timestamp, string body) =>
        "v1," + Convert.ToBase64String(HMACSHA256.HashData(secret, Encoding.UTF8.GetBytes($"{id}.{timestamp}.{body}")));

    public static string SecretText(byte[] secret) => "whsec_" + Convert.ToBase64String(secret);

    /// <summary>
    /// Till the next try: 10 s, doubled each time up to an hour, and up to a fifth more or less, so that what failed together is not tried together.
    /// </summary>
    /// <param name="tries">So far, from 1: of a message, or of a webhook in a row.</param>
    /// <param name="jitter">From 0 to 1.</param>
    public static TimeSpan Pause(int tries, double jitter) =>
        TimeSpan.FromSeconds(Math.Min(LongestPause.TotalSeconds, FirstPause.TotalSeconds * Math.Pow(2, Math.Min(tries - 1, 20)))) * (0.8 + 0.4 * jitter);

    /// <summary>A message's <see cref="Pause"/>. Null: given up.</summary>
    /// <param name="tries">So far, from 1.</param>
    /// <param name="age">Since the event.</param>
    /// <param name="jitter">From 0 to 1.</param>
    public static TimeSpan? PauseAfter(int tries, TimeSpan age, double jitter)
    {
        var pause = Pause(tries, jitter);
        return age + pause < GiveUpAfter ? pause : null;
    }
}
