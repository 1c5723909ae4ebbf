using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Tanjiren.Protocol;

/// <summary>
/// Identifiers: a prefix that says what it names, then the 26-character Crockford base32 form of a UUIDv7 (RFC 9562 §5.7), so ids
/// made later sort later, by one clock to a quarter of a microsecond. On the wire and in the database they are plain strings (docs/decisions/0003-ids-are-strings.md).
/// </summary>
public static class Ids
{
    public const string Organization = "org_";
    public const string User = "usr_";
    public const string Instance = "ws_";
    public const string Task = "task_";
    public const string Execution = "exe_";
    public const string Step = "step_";
    public const string Approval = "apr_";
    public const string Artifact = "art_";
    public const string Key = "key_";
    public const string Token = "tok_";
    public const string Session = "ses_";
    public const string Claim = "clm_";
    public const string Invitation = "inv_";
    public const string Grant = "gnt_";
    public const string Schedule = "sch_";
    public const string AuditEvent = "evt_";
    public const string Investigation = "ivg_";
    public const string Runbook = "rb_";
    public const string Prompt = "prm_";
    public const string Permission = "perm_";
    public const string Message = "msg_";
    public const string KeyRotation = "rot_";

    /// <summary>Prefix of a worker's id; the rest is the id of its workstation (W-09).</summary>
    public const string Worker = "worker:";

    private const int EncodedLength = 26;
    private const string Alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
    private static readonly SearchValues<char> Digits = SearchValues.Create(Alphabet);

    /// <summary>A new id of the given kind; <paramref name="now"/> orders it among its siblings.</summary>
    public static string New(string prefix, DateTimeOffset now)
    {
        Span<byte> bytes = stackalloc byte[16];
        Guid.CreateVersion7(now).TryWriteBytes(bytes, bigEndian: true, out _);
        // The 12 bits after the version are the fraction of the millisecond (RFC 9562 §6.2, method 3): were they random, lists would show in any order what was made within one.
        var fraction = now.Ticks % TimeSpan.TicksPerMillisecond * 4096 / TimeSpan.TicksPerMillisecond;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[6..], (ushort)(0x7000 | fraction));
        return prefix + Encode(bytes);
    }

    /// <summary>A new id of the given kind, by the clock that the caller runs on.</summary>
    public static string New(string prefix, TimeProvider clock) => New(prefix, clock.GetUtcNow());

    /// <summary>Whether <paramref name="id"/> has the form of an id of this kind. It says nothing about existence.</summary>
    public static bool IsValid(string? id, string prefix) =>
        id is not null
        && id.Length == prefix.Length + EncodedLength
        && id.StartsWith(prefix, StringComparison.Ordinal)
        && id.AsSpan(prefix.Length).IndexOfAnyExcept(Digits) < 0;

    /// <summary>Random text of <paramref name="bits"/> bits in the same alphabet, for secrets that a person may have to type.</summary>
    public static string Secret(int bits) => RandomNumberGenerator.GetString(Alphabet, (bits + 4) / 5);

    private static string Encode(ReadOnlySpan<byte> bytes)
    {
        // 128 bits in 26 digits of 5 bits: the first digit carries the two padding bits, so lexical order is numeric order.
        Span<char> text = stackalloc char[EncodedLength];
        var value = BinaryPrimitives.ReadUInt128BigEndian(bytes);
        for (var i = EncodedLength - 1; i >= 0; i--)
        {
            text[i] = Alphabet[(int)(value & 31)];
            value >>= 5;
        }
        return new string(text);
    }
}
