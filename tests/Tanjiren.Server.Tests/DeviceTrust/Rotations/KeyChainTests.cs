using System.Security.Cryptography;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.DeviceTrust.Rotations;

/// <summary>The offline verifier against chains that somebody has tampered with, made here with keys of this test: no server has a part in it.</summary>
public sealed class KeyChainTests
{
    private const string Instance = "ws_00000000000000000000000001";
    private static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);
    private static readonly ECDsa Server = NewKey();
    private static readonly ECDsa[] Keys = [NewKey(), NewKey(), NewKey(), NewKey()];

    /// <summary>Paired, rotated, rotated, rotated.</summary>
    private static readonly KeyChainBody Chain = Make([KeyRotationKind.Rotation, KeyRotationKind.Rotation, KeyRotationKind.Rotation]);

    private static readonly Dictionary<string, (string Says, Func<KeyChainBody, KeyChainBody> Tamper)> Tampered = new()
    {
        ["a row is missing"] = ("change 2: its number is 3", c => Reheaded(c with { Changes = [c.Changes[0], c.Changes[2]] })),
        ["a row is missing and the numbers were mended"] = ("change 2: its statement is signed by", c => Reheaded(c with { Changes = [c.Changes[0], c.Changes[2] with { Number = 2 }] })),
        ["the first row is missing"] = ("change 1: its statement is signed by", c => Reheaded(c with { Changes = [c.Changes[1] with { Number = 1 }, c.Changes[2] with { Number = 2 }] })),
        ["two rows changed places"] = ("change 1: its number is 2", c => c with { Changes = [c.Changes[1], c.Changes[0], c.Changes[2]] }),
        ["two rows changed places with their numbers"] = ("change 1: its statement is signed by", c => c with { Changes = [c.Changes[1] with { Number = 1 }, c.Changes[0] with { Number = 2 }, c.Changes[2]] }),
        ["the end was cut off"] = ("the end: the server knew 3 changes, and here are 2", c => c with { Changes = [.. c.Changes.Take(2)], Current = c.Changes[1].Fingerprint }),
        ["a row was added twice"] = ("change 4: its statement is signed by", c => c with { Changes = [.. c.Changes, c.Changes[2] with { Number = 4 }] }),
        ["the statement is altered"] = ("change 2: its statement is altered", c => Row(c, 1, r => r with { Statement = Flip(r.Statement, 1) })),
        ["the approval is altered"] = ("change 2: its approval is altered", c => Row(c, 1, r => r with { Approval = Flip(r.Approval, 1) })),
        ["the head is altered"] = ("the end: the server's word for it is altered", c => c with { Head = Flip(c.Head, 1) }),
        ["a signature is altered"] = ("change 2: its statement is altered", c => Row(c, 1, r => r with { Statement = Flip(r.Statement, 2) })),
        ["another statement of the same key"] = ("change 2: its approval is of another statement", c => Row(c, 1, r => r with { Statement = Statement(Keys[1], NewKey(), Server) })),
        ["a statement over another workstation"] = ("change 2: its statement is about another workstation", c => Row(c, 1, r => r with { Statement = Statement(Keys[1], Keys[2], Server, "ws_00000000000000000000000002") })),
        ["the approver is another"] = ("change 1: what it shows is not what was signed", c => Row(c, 0, r => r with { ApprovedBy = "usr_other" })),
        ["the time is another"] = ("change 1: what it shows is not what was signed", c => Row(c, 0, r => r with { ApprovedAt = Noon.AddDays(1) })),
        ["a fingerprint is another"] = ("change 1: what it shows is not what was signed", c => Row(c, 0, r => r with { Fingerprint = Print(Keys[3]) })),
        ["a rotation is called a recovery"] = ("change 1: what it shows is not what was signed", c => Row(c, 0, r => r with { Kind = KeyRotationKind.Recovery })),
        ["approved by another server"] = ("change 2: its approval is not by the server that the old key named", c => Row(c, 1, r => r with { Approval = Approval(NewKey(), r.Statement, 2, Keys[1], Keys[2]) })),
        ["the place of an approval is another"] = ("change 2: its approval is that of change 3", c => Row(c, 1, r => r with { Approval = Approval(Server, r.Statement, 3, Keys[1], Keys[2]) })),
        ["an approval after another key"] = ("change 2: its approval replaces", c => Row(c, 1, r => r with { Approval = Approval(Server, r.Statement, 2, Keys[0], Keys[2]) })),
        ["the head is another server's"] = ("the end: the word for it is by another server", c => Reheaded(c, NewKey())),
        ["the head is of another workstation's chain"] = ("the end: the word for it is about another chain", c => c with { Head = Head(Server, c, "ws_00000000000000000000000002") }),
        ["the current key is another"] = ("the end: it shows", c => c with { Current = Print(Keys[0]) }),
        ["the first key is another"] = ("the first key is not the one of its fingerprint", c => c with { First = c.First with { Key = Jwk.FromKey(Keys[3]) } }),
        ["the first key and its fingerprint are another"] = ("change 1: its statement is signed by", c => c with { First = c.First with { Key = Jwk.FromKey(Keys[3]), Fingerprint = Print(Keys[3]) } }),
        ["it is another workstation's"] = ("change 1: its statement is about another workstation", c => c with { InstanceId = "ws_00000000000000000000000002" }),
        ["a key comes back"] = ("change 4: its key was there before", c => Reheaded(Append(c, Keys[3], Keys[1]))),
        ["a row is empty"] = ("it is no chain of keys", c => c with { Changes = [null!] }),
    };

    public static TheoryData<string> Cases() => [.. Tampered.Keys];

    [Fact]
    public void As_it_was_signed_it_verifies_from_every_key()
    {
        for (var anchor = 0; anchor < Keys.Length; anchor++)
        {
            var result = KeyChain.Verify(Chain, Print(Keys[anchor]), acceptGaps: false);
            (result.Verdict, result.Problem).ShouldBe((KeyChainVerdict.Verified, null));
            result.Links.Select(l => l.Standing).ShouldBe(Enumerable.Range(0, 4).Select(i => i < anchor ? KeyStanding.BeforeAnchor : i == anchor ? KeyStanding.Anchor : KeyStanding.Vouched));
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_tampered_chain_does_not_verify_and_says_where(string what)
    {
        var (says, tamper) = Tampered[what];
        var result = KeyChain.Verify(tamper(Chain), Print(Keys[0]), acceptGaps: true);
        result.Verdict.ShouldBe(KeyChainVerdict.Broken);
        result.Problem!.ShouldStartWith(says);
    }

    [Fact]
    public void A_key_that_is_not_in_it_is_no_anchor()
    {
        KeyChain.Verify(Chain, Print(NewKey()), acceptGaps: true).Problem!.ShouldStartWith("no key of it has the fingerprint");
        // A forger can make a whole chain with keys and a server of their own; only the anchor tells.
        var forged = Make([KeyRotationKind.Rotation], [NewKey(), NewKey()], NewKey());
        KeyChain.Verify(forged, forged.First.Fingerprint, acceptGaps: false).Verdict.ShouldBe(KeyChainVerdict.Verified);
        KeyChain.Verify(forged, Print(Keys[0]), acceptGaps: true).Verdict.ShouldBe(KeyChainVerdict.Broken);
    }

    [Fact]
    public void A_gap_stops_it_unless_it_is_accepted_or_the_anchor_comes_after_it()
    {
        var chain = Make([KeyRotationKind.Rotation, KeyRotationKind.Recovery, KeyRotationKind.Rotation]);
        var stopped = KeyChain.Verify(chain, Print(Keys[0]), acceptGaps: false);
        (stopped.Verdict, stopped.Problem!.Contains("change 2 is a recovery", StringComparison.Ordinal)).ShouldBe((KeyChainVerdict.GapNotAccepted, true));
        stopped.Links.Select(l => l.Standing).ShouldBe([KeyStanding.Anchor, KeyStanding.Vouched, KeyStanding.Gap, KeyStanding.Gap]);

        var accepted = KeyChain.Verify(chain, Print(Keys[0]), acceptGaps: true);
        (accepted.Verdict, accepted.Links[3].Standing).ShouldBe((KeyChainVerdict.Verified, KeyStanding.Vouched));
        KeyChain.Verify(chain, Print(Keys[2]), acceptGaps: false).Verdict.ShouldBe(KeyChainVerdict.Verified);
        KeyChain.Verify(chain, Print(Keys[3]), acceptGaps: false).Verdict.ShouldBe(KeyChainVerdict.Verified);
        KeyChain.Verify(chain, Print(Keys[1]), acceptGaps: false).Verdict.ShouldBe(KeyChainVerdict.GapNotAccepted);
    }

    [Fact]
    public void A_gap_that_another_server_approved_is_not_to_be_accepted()
    {
        var chain = Make([KeyRotationKind.Rotation, KeyRotationKind.Recovery]);
        var forged = Reheaded(Row(chain, 1, r => r with { Approval = Approval(NewKey(), r.Statement, 2, Keys[1], Keys[2]) }));
        KeyChain.Verify(forged, Print(Keys[0]), acceptGaps: true).Problem!.ShouldStartWith("change 2: its approval is by another server than the one before");
    }

    [Fact]
    public void A_gap_that_no_trusted_key_stands_before_is_accepted_by_the_servers_fingerprint_only()
    {
        // A stranger needs nothing of ours for this: a public first key, a new one, and a server of their own.
        foreach (var (chain, own) in new[] { (Make([KeyRotationKind.Recovery]), true), (Make([KeyRotationKind.Recovery], server: NewKey()), false) })
        {
            var without = KeyChain.Verify(chain, Print(Keys[0]), acceptGaps: true);
            (without.Verdict, without.Problem).ShouldBe((KeyChainVerdict.GapNotAccepted, "change 1 is a recovery of a lost key: no earlier key vouches for what follows, nor for the server whose word it is"));
            without.Links.Select(l => l.Standing).ShouldBe([KeyStanding.Anchor, KeyStanding.Gap]);
            var with = KeyChain.Verify(chain, Print(Keys[0]), acceptGaps: true, Print(Server));
            (with.Verdict, with.Problem).ShouldBe(own ? (KeyChainVerdict.Verified, null) : (KeyChainVerdict.Broken, $"change 1: its approval is by another server than {Print(Server)}"));
            KeyChain.Verify(chain, Print(Keys[0]), acceptGaps: false, Print(Server)).Verdict.ShouldBe(own ? KeyChainVerdict.GapNotAccepted : KeyChainVerdict.Broken);
        }
    }

    [Fact]
    public void What_stands_before_the_anchor_names_no_server()
    {
        var forged = Make([KeyRotationKind.Rotation, KeyRotationKind.Recovery], [NewKey(), Keys[0], NewKey()], NewKey());
        KeyChain.Verify(forged, Print(Keys[0]), acceptGaps: true).Verdict.ShouldBe(KeyChainVerdict.GapNotAccepted);
        // Nor does a rotation that comes after a gap, unless that is accepted or before the anchor.
        var twice = Make([KeyRotationKind.Recovery, KeyRotationKind.Rotation, KeyRotationKind.Recovery]);
        KeyChain.Verify(twice, Print(Keys[0]), acceptGaps: true).Verdict.ShouldBe(KeyChainVerdict.GapNotAccepted);
        KeyChain.Verify(twice, Print(Keys[0]), acceptGaps: true, Print(Server)).Verdict.ShouldBe(KeyChainVerdict.Verified);
        KeyChain.Verify(twice, Print(Keys[1]), acceptGaps: true).Verdict.ShouldBe(KeyChainVerdict.Verified);
        KeyChain.Verify(Make([], server: NewKey()), Print(Keys[0]), acceptGaps: true, Print(Server)).Problem!.ShouldStartWith("the end: the word for it is by another server");
    }

    [Fact]
    public void A_key_that_never_changed_is_its_own_anchor()
    {
        var chain = Make([]);
        KeyChain.Verify(chain, Print(Keys[0]), acceptGaps: false).Verdict.ShouldBe(KeyChainVerdict.Verified);
        KeyChain.Verify(chain with { Head = "" }, Print(Keys[0]), acceptGaps: false).Verdict.ShouldBe(KeyChainVerdict.Broken);
    }

    private static KeyChainBody Make(KeyRotationKind[] kinds, ECDsa[]? keys = null, ECDsa? server = null)
    {
        keys ??= Keys;
        var chain = new KeyChainBody
        {
            InstanceId = Instance, InstanceName = "box", First = new FirstKeyBody { Key = Jwk.FromKey(keys[0]), Fingerprint = Print(keys[0]), BoundAt = Noon }, Changes = [],
            Current = Print(keys[0]), Head = "",
        };
        for (var i = 0; i < kinds.Length; i++) chain = Append(chain, keys[i], keys[i + 1], kinds[i], server);
        return Reheaded(chain, server);
    }

    private static KeyChainBody Append(KeyChainBody chain, ECDsa old, ECDsa next, KeyRotationKind kind = KeyRotationKind.Rotation, ECDsa? server = null)
    {
        var number = chain.Changes.Count + 1;
        var statement = kind == KeyRotationKind.Rotation ? Statement(old, next, server ?? Server) : KeyStatement.Sign(next, KeyStatement.PayloadFor(null, Jwk.FromKey(next), null, Noon));
        var change = new KeyChangeBody
        {
            Number = number, Kind = kind, Fingerprint = Print(next), ApprovedBy = "usr_1", ApprovedAt = Noon, Statement = statement, Approval = Approval(server ?? Server, statement, number, old, next),
        };
        return chain with { Changes = [.. chain.Changes, change], Current = Print(next) };
    }

    private static string Statement(ECDsa old, ECDsa next, ECDsa server, string instance = Instance) => KeyStatement.Sign(old, KeyStatement.PayloadFor(instance, Jwk.FromKey(next), Print(server), Noon));

    private static string Approval(ECDsa server, string statement, int number, ECDsa old, ECDsa next) => KeyRecord.Sign(server, KeyRecord.ApprovalType, new KeyRecordClaims
    {
        Sub = Instance, Seq = number, Prev = Print(old), Jkt = Print(next), Sth = KeyRecord.DigestOf(statement), By = "usr_1", Iat = Noon.ToUnixTimeSeconds(),
    });

    /// <summary>With a head that fits what is there now: what a forger who has the server's key could not be told by.</summary>
    private static KeyChainBody Reheaded(KeyChainBody chain, ECDsa? server = null) => (chain with { Current = chain.Changes.Count == 0 ? chain.First.Fingerprint : chain.Changes[^1].Fingerprint }) is var whole
        ? whole with { Head = Head(server ?? Server, whole) } : chain;

    private static string Head(ECDsa server, KeyChainBody chain, string instance = Instance) => KeyRecord.Sign(server, KeyRecord.HeadType, new KeyRecordClaims
    {
        Sub = instance, Seq = chain.Changes.Count, Prev = chain.First.Fingerprint, Jkt = chain.Current, Sth = chain.Changes.Count == 0 ? null : KeyRecord.DigestOf(chain.Changes[^1].Approval),
        Iat = Noon.ToUnixTimeSeconds(),
    });

    private static KeyChainBody Row(KeyChainBody chain, int index, Func<KeyChangeBody, KeyChangeBody> change) => chain with { Changes = [.. chain.Changes.Select((row, i) => i == index ? change(row) : row)] };

    /// <summary>Another character in the middle of a part of a JWS: 0 header, 1 payload, 2 signature.</summary>
    private static string Flip(string jws, int part)
    {
        var parts = jws.Split('.');
        var at = parts[part].Length / 2;
        parts[part] = parts[part][..at] + (parts[part][at] == 'A' ? 'B' : 'A') + parts[part][(at + 1)..];
        return string.Join('.', parts);
    }

    private static string Print(ECDsa key) => Jwk.FromKey(key).Thumbprint();

    private static ECDsa NewKey() => ECDsa.Create(ECCurve.NamedCurves.nistP256);
}
