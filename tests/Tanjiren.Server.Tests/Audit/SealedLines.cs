using System.Security.Cryptography;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Audit;

/// <summary>An export as a server would make it, for tests to spoil.</summary>
internal sealed class SealedLines : IDisposable
{
    public const string Chain = "org_1";

    private static readonly DateTimeOffset Start = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_000);

    public ECDsa Key { get; } = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public List<AuditEventBody> Rows { get; } = [];

    /// <summary>A chain of so many rows; what differs makes other rows, and with them another chain.</summary>
    public SealedLines Make(int count, string detail = "as it was")
    {
        Rows.Clear();
        var hash = AuditChain.Genesis;
        for (var number = 1; number <= count; number++)
        {
            var row = new AuditEventBody
            {
                Id = $"evt_{number}", At = Start.AddSeconds(number), Actor = "usr_1", Action = "task.created", Subject = $"task_{number}", Detail = detail,
                Version = 1, Sequence = number, PreviousHash = hash,
            };
            Rows.Add(row with { Hash = hash = AuditChain.HashOf(Chain, row) });
        }
        return this;
    }

    public AuditHead Signed(string kind, long sequence, string? hash = null, ECDsa? by = null, string chain = Chain, int at = 1000) => AuditChain.Sign(new AuditHead
    {
        Kind = kind, Chain = chain, Sequence = sequence, Hash = hash ?? (sequence == 0 ? AuditChain.Genesis : Rows[(int)sequence - 1].Hash!), At = Start.AddSeconds(at),
        Key = Jwk.FromKey(by ?? Key), Signature = "",
    }, by ?? Key);

    public AuditHead Head(long? sequence = null, int at = 1000) => Signed(AuditHead.Head, sequence ?? Rows.Count, at: at);

    /// <summary>Checkpoint, rows, head.</summary>
    public List<string> Lines(int startsAfter = 0, int? upTo = null) =>
        [Line(Signed(AuditHead.Checkpoint, startsAfter)), .. Rows.Take(upTo ?? Rows.Count).Skip(startsAfter).Select(row => Line(row)), Line(Head(upTo ?? Rows.Count))];

    public static string Line(AuditEventBody row) => JsonSerializer.Serialize(row, WireJson.Default.AuditEventBody);

    public static string Line(AuditHead head) => JsonSerializer.Serialize(head, WireJson.Default.AuditHead);

    /// <summary>The row itself hashed again, and nothing after it.</summary>
    public static AuditEventBody Rehashed(AuditEventBody row) => row with { Hash = AuditChain.HashOf(Chain, row) };

    public static ChainReport Verify(IEnumerable<string> lines, IEnumerable<AuditHead>? heads = null, string? key = null)
    {
        var verifier = new ChainVerifier(heads is null ? null : HeadFile.Read(heads.Select(head => Line(head))), key);
        foreach (var line in lines) verifier.Add(line);
        return verifier.Finish();
    }

    public void Dispose() => Key.Dispose();
}
