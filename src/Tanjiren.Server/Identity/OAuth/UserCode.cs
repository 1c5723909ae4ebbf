using System.Security.Cryptography;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>The code that a person types (RFC 8628 §6.1): eight of twenty consonants, so that it spells no word and no two letters look alike; 34 bits.</summary>
internal static class UserCode
{
    private const string Alphabet = "BCDFGHJKLMNPQRSTVWXZ";
    private const int Length = 8;

    public static string New() => RandomNumberGenerator.GetString(Alphabet, Length);

    public static string Show(string code) => code.Insert(Length / 2, "-");

    /// <summary>Without what people add when they type it; null when it can't be a code.</summary>
    public static string? Normalize(string? typed)
    {
        if (typed is null or { Length: > 64 }) return null;
        var code = string.Concat(typed.ToUpperInvariant().Where(c => c != '-' && !char.IsWhiteSpace(c)));
        return code.Length == Length && code.All(c => Alphabet.Contains(c)) ? code : null;
    }
}
