namespace Tanjiren.Protocol;

/// <summary>How people compare fingerprints (RFC 7638 thumbprints, 43 characters, case counts).</summary>
public static class KeyFingerprint
{
    public const int Length = 43;

    /// <summary>What an admin types: the last 8 characters, 46 bits that whoever asks can't choose.</summary>
    public const int TypedLength = 8;

    /// <summary>What is shown of a key that nobody has approved yet, so that what is typed comes from the machine and not from the same screen.</summary>
    public static string Start(string fingerprint) => fingerprint[..TypedLength];

    /// <summary>Whether <paramref name="typed"/> is the end of it: the last 8 characters or more.</summary>
    public static bool Matches(string fingerprint, string typed) => typed.Length >= TypedLength && fingerprint.EndsWith(typed, StringComparison.Ordinal);
}
