using System.Security.Cryptography;
using Tanjiren.Protocol;
using static Tanjiren.Server.Tests.Audit.SealedLines;

namespace Tanjiren.Server.Tests.Audit;

/// <summary>The first altered, missing, reordered or truncated row is found and named, and nothing else is.</summary>
public sealed class ChainVerifierTests : IDisposable
{
    private readonly SealedLines _chain = new SealedLines().Make(20);

    public void Dispose() => _chain.Dispose();

    [Fact]
    public void What_was_sealed_verifies_with_and_without_a_head_file_and_tells_by_whom()
    {
        var fingerprint = Jwk.FromKey(_chain.Key).Thumbprint();
        var report = Verify(_chain.Lines());
        (report.Fault, report.Chain, report.StartsAfter, report.Last, report.KeyFingerprint, report.HeadsMatched).ShouldBe((null, Chain, 0, 20, fingerprint, 0));
        Verify(_chain.Lines(), [_chain.Head(5), _chain.Head(20)], fingerprint).HeadsMatched.ShouldBe(2);
        Verify(_chain.Lines(startsAfter: 12), [_chain.Head(5), _chain.Head(20), _chain.Signed(AuditHead.Checkpoint, 12)]).ShouldSatisfyAllConditions(r => r.Fault.ShouldBeNull(), r => r.StartsAfter.ShouldBe(12));
        using var empty = new SealedLines().Make(0);
        Verify(empty.Lines()).Fault.ShouldBeNull();
        // A chain of another organization in the same file says nothing of this one.
        Verify(_chain.Lines(), [_chain.Head(20), _chain.Signed(AuditHead.Head, 99, new string('9', 64), chain: "org_2")]).Fault.ShouldBeNull();
    }

    [Theory]
    [InlineData("actor")]
    [InlineData("action")]
    [InlineData("subject")]
    [InlineData("detail")]
    [InlineData("address")]
    [InlineData("at")]
    [InlineData("id")]
    public void An_altered_row_is_named_whichever_field_it_was(string field)
    {
        var row = _chain.Rows[6];
        var altered = field switch
        {
            "actor" => row with { Actor = "usr_2" },
            "action" => row with { Action = "task.cancel" },
            "subject" => row with { Subject = "task_x" },
            "detail" => row with { Detail = null },
            "address" => row with { Address = "10.0.0.1" },
            "at" => row with { At = row.At.AddMilliseconds(1) },
            _ => row with { Id = "evt_x" },
        };
        var fault = Verify(Replaced(7, Line(altered))).Fault!;
        (fault.Kind, fault.Sequence, fault.Id).ShouldBe((ChainFaultKind.Altered, 7, altered.Id));
        // Hashed anew, it contradicts the row after it: the altered one is named, not that one.
        var hidden = Verify(Replaced(7, Line(Rehashed(altered)))).Fault!;
        (hidden.Kind, hidden.Sequence, hidden.Id).ShouldBe((ChainFaultKind.Altered, 7, altered.Id));
    }

    [Fact]
    public void The_last_row_hashed_anew_contradicts_the_head()
    {
        var fault = Verify(Replaced(20, Line(Rehashed(_chain.Rows[19] with { Actor = "usr_2" })))).Fault!;
        (fault.Kind, fault.Sequence).ShouldBe((ChainFaultKind.Altered, 20));
    }

    [Fact]
    public void A_missing_row_is_named_and_a_displaced_one_told_from_it()
    {
        var lines = _chain.Lines();
        lines.RemoveAt(7);
        Kind(lines).ShouldBe((ChainFaultKind.Missing, 7));
        lines.RemoveRange(7, 3);
        Kind(lines).ShouldBe((ChainFaultKind.Missing, 7));
        Verify(lines).Fault!.Message.ShouldContain("7 to 10");

        lines = _chain.Lines();
        (lines[7], lines[9]) = (lines[9], lines[7]);
        Kind(lines).ShouldBe((ChainFaultKind.Reordered, 7));
        lines = _chain.Lines();
        lines.Insert(9, lines[7]);
        Kind(lines).ShouldBe((ChainFaultKind.Reordered, 7));
    }

    [Fact]
    public void A_cut_end_is_found_by_the_export_s_own_head_or_with_a_later_one_in_its_place_by_the_head_file()
    {
        var cut = _chain.Lines();
        cut.RemoveRange(11, 10);
        Kind(cut).ShouldBe((ChainFaultKind.Truncated, 11));
        Kind(_chain.Lines()[..15]).ShouldBe((ChainFaultKind.Truncated, 15)); // broke off: no head at all

        // Whoever holds the key, as the database does, signs the shorter chain: alone it looks whole.
        var signed = _chain.Lines(upTo: 10);
        Verify(signed).Fault.ShouldBeNull();
        Verify(signed, [_chain.Head(4), _chain.Head(20, at: 2000)]).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(ChainFaultKind.Truncated), f => f!.Sequence.ShouldBe(11), f => f!.Message.ShouldContain("11 to 20"));
    }

    [Fact]
    public void A_cut_beginning_needs_a_checkpoint_that_the_head_file_knows()
    {
        var cut = _chain.Lines();
        cut.RemoveRange(1, 5);
        Kind(cut).ShouldBe((ChainFaultKind.Missing, 1));
        var signed = _chain.Lines(startsAfter: 5);
        Verify(signed).Fault.ShouldBeNull();
        Verify(signed, [_chain.Head(20, at: 2000)]).Fault!.Kind.ShouldBe(ChainFaultKind.Truncated);
        Verify(signed, [_chain.Head(20, at: 900)]).Fault.ShouldBeNull("the head file is from before the deletion");
        Verify(signed, [_chain.Signed(AuditHead.Head, 5, new string('5', 64), at: 900), _chain.Head(20, at: 900)]).Fault!.Kind.ShouldBe(ChainFaultKind.Altered);
    }

    [Fact]
    public void A_chain_made_anew_passes_alone_and_not_beside_the_head_file()
    {
        AuditHead[] heads = [_chain.Head(5), _chain.Head(12), _chain.Head(20)];
        var rows = _chain.Rows.ToList();
        _chain.Make(20, "another story");
        Verify(_chain.Lines()).Fault.ShouldBeNull();
        Verify(_chain.Lines(), heads).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(ChainFaultKind.Altered), f => f!.Sequence.ShouldBe(1), f => f!.Message.ShouldContain("rows 1 to 5"));

        // From row 9 on only: the heads up to 5 fit, that of 12 does not.
        var hash = rows[7].Hash!;
        for (var i = 8; i < 20; i++) hash = (rows[i] = Rehashed(rows[i] with { PreviousHash = hash, Detail = "another story" })).Hash!;
        _chain.Rows.Clear();
        _chain.Rows.AddRange(rows);
        Verify(_chain.Lines()).Fault.ShouldBeNull();
        Verify(_chain.Lines(), heads).Fault!.Message.ShouldContain("rows 6 to 12");
    }

    [Fact]
    public void Signatures_are_of_one_key_and_of_the_pinned_one()
    {
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var foreign = _chain.Lines();
        foreign[^1] = Line(_chain.Signed(AuditHead.Head, 20, by: other));
        Kind(foreign).ShouldBe((ChainFaultKind.Unsigned, 20));
        Verify(_chain.Lines(), key: Jwk.FromKey(other).Thumbprint()).Fault!.Kind.ShouldBe(ChainFaultKind.Unsigned);
        Verify(_chain.Lines(), [_chain.Signed(AuditHead.Head, 20, by: other)]).Fault!.Kind.ShouldBe(ChainFaultKind.Unsigned);
        Verify(_chain.Lines(), [_chain.Signed(AuditHead.Head, 3, chain: "org_2")]).Fault!.Kind.ShouldBe(ChainFaultKind.Unsigned, "a head file that tells nothing of the chain");
        var unsigned = _chain.Lines();
        unsigned[0] = Line(_chain.Signed(AuditHead.Checkpoint, 0) with { Signature = _chain.Head().Signature });
        Kind(unsigned).ShouldBe((ChainFaultKind.Unsigned, 0));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("no json")]
    [InlineData("null")]
    [InlineData("""{"kind":"head"}""")]
    [InlineData("""{"id":"evt_9","at":"2026-01-01T00:00:00.000Z","actor":"a","action":"b","subject":"c"}""")]
    public void What_is_not_a_line_of_an_export_is_told_by_its_number(string line)
    {
        Kind(Replaced(7, line)).Item1.ShouldBe(ChainFaultKind.Unreadable);
        Kind([line]).Item1.ShouldBe(ChainFaultKind.Unreadable);
        Kind([]).Item1.ShouldBe(ChainFaultKind.Unreadable);
        Kind(_chain.Lines()[1..]).Item1.ShouldBe(ChainFaultKind.Unreadable);
    }

    [Fact]
    public void A_line_of_the_head_file_that_was_torn_is_left_out_and_one_that_was_altered_is_refused()
    {
        var torn = HeadFile.Read([Line(_chain.Head(5)), Line(_chain.Head(9))[..40], "", Line(_chain.Head(20))]);
        (torn.Unreadable, torn.HeadsOf(Chain).Count()).ShouldBe((1, 2));
        Should.Throw<FormatException>(() => HeadFile.Read([Line(_chain.Head(5)), Line(_chain.Head(9) with { Sequence = 8 })])).Message.ShouldContain("line 2");
    }

    private List<string> Replaced(int line, string by)
    {
        var lines = _chain.Lines();
        lines[line] = by;
        return lines;
    }

    private static (ChainFaultKind, long) Kind(IEnumerable<string> lines) => Verify(lines).Fault is { } fault ? (fault.Kind, fault.Sequence) : throw new ShouldAssertException("it verifies");
}
