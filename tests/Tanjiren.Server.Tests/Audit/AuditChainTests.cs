using System.Security.Cryptography;
using System.Text;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Audit;

/// <summary>The encoding that docs/concepts/audit.md writes down: other programs stand on it, and rows that are sealed keep it for ever.</summary>
public sealed class AuditChainTests
{
    private static readonly AuditEventBody Row = new()
    {
        Id = "evt_1", At = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_123), Actor = "usr_1", Action = "task.created", Subject = "task_1", Detail = "echo ä",
        Address = "127.0.0.1", Version = 1, Sequence = 7, PreviousHash = AuditChain.Genesis,
    };

    [Fact]
    public void A_row_is_hashed_as_the_page_says()
    {
        // Written out by hand: netstrings, an absent field as -,
        var bytes = Encoding.UTF8.GetBytes("21:tanjiren.audit.row.v1,64:" + AuditChain.Genesis + ",5:org_1,1:7,5:evt_1,13:1700000000123,5:usr_1,12:task.created,6:task_1,7:echo ä,9:127.0.0.1,");
        AuditChain.HashOf("org_1", Row).ShouldBe(Convert.ToHexStringLower(SHA256.HashData(bytes)));
        var bare = Encoding.UTF8.GetBytes("21:tanjiren.audit.row.v1,64:" + AuditChain.Genesis + ",5:org_1,1:7,5:evt_1,13:1700000000123,5:usr_1,12:task.created,6:task_1,-,-,");
        AuditChain.HashOf("org_1", Row with { Detail = null, Address = null }).ShouldBe(Convert.ToHexStringLower(SHA256.HashData(bare)));
    }

    [Fact]
    public void Every_field_counts_and_none_runs_into_the_next()
    {
        AuditEventBody[] others =
        [
            Row with { Id = "evt_2" }, Row with { At = Row.At.AddMilliseconds(1) }, Row with { Actor = "usr_2" }, Row with { Action = "task.cancel" }, Row with { Subject = "task_2" },
            Row with { Detail = "echo" }, Row with { Detail = "" }, Row with { Detail = null }, Row with { Address = null }, Row with { Sequence = 8 }, Row with { PreviousHash = new string('1', 64) },
            Row with { Action = "task.createdt", Subject = "ask_1" }, Row with { Detail = "echo ä,9:127.0.0.1,", Address = null }, Row with { Detail = null, Address = "echo ä" },
        ];
        var hashes = others.Select(row => AuditChain.HashOf("org_1", row)).Append(AuditChain.HashOf("org_1", Row)).Append(AuditChain.HashOf("org_2", Row)).ToList();
        hashes.Distinct().Count().ShouldBe(hashes.Count);
        AuditChain.HashOf("org_1", Row with { Hash = "whatever it claims" }).ShouldBe(AuditChain.HashOf("org_1", Row));
    }

    [Fact]
    public void A_head_is_signed_over_all_that_it_says()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var head = AuditChain.Sign(new AuditHead { Kind = AuditHead.Head, Chain = "org_1", Sequence = 3, Hash = AuditChain.Genesis, At = Row.At, Key = Jwk.FromKey(key), Signature = "" }, key);
        AuditChain.IsSigned(head).ShouldBeTrue();
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        AuditHead[] altered =
        [
            head with { Kind = AuditHead.Checkpoint }, head with { Chain = "org_2" }, head with { Sequence = 4 }, head with { Hash = new string('1', 64) }, head with { At = head.At.AddMilliseconds(1) },
            head with { Key = Jwk.FromKey(other) }, head with { Signature = "" }, head with { Signature = head.Signature[..^2] }, head with { Signature = "!" }, head with { Key = new Jwk() },
            head with { Key = head.Key with { X = head.Key.Y } }, head with { Key = null! },
        ];
        foreach (var bad in altered) AuditChain.IsSigned(bad).ShouldBeFalse(bad.ToString());
    }
}
