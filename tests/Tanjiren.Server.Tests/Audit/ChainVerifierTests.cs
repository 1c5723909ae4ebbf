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
    public void An_export_that_somebody_signed_by_a_key_of_their_own_does_not_pass_beside_the_head_file()
    {
        AuditHead[] heads = [_chain.Head(5), _chain.Head(20)];
        using var forged = new SealedLines().Make(30, "another story");
        Verify(forged.Lines(startsAfter: 25)).Fault.ShouldBeNull("alone it is all by one hand");
        // Behind everything that the head file knows: no row of it can be held against a head.
        foreach (var startsAfter in new[] { 25, 20, 5, 0 }) Verify(forged.Lines(startsAfter), heads).Fault!.Kind.ShouldBe(ChainFaultKind.Unsigned, $"{startsAfter}");
        // Only the head, or only the checkpoint, is theirs.
        var lines = _chain.Lines();
        lines[^1] = Line(_chain.Signed(AuditHead.Head, 20, by: forged.Key));
        Verify(lines, heads).Fault!.Kind.ShouldBe(ChainFaultKind.Unsigned);
        lines = _chain.Lines(startsAfter: 5);
        lines[0] = Line(_chain.Signed(AuditHead.Checkpoint, 5, by: forged.Key));
        Verify(lines, [.. heads, _chain.Signed(AuditHead.Checkpoint, 5)]).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(ChainFaultKind.Unsigned), f => f!.Sequence.ShouldBe(5));
    }

    [Fact]
    public void A_checkpoint_past_the_head_file_must_be_in_it()
    {
        // By the server's own key, which the database has: nothing of what the file knows is in the export.
        AuditHead[] heads = [_chain.Head(5), _chain.Head(10)];
        Verify(_chain.Lines(startsAfter: 15), heads).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(ChainFaultKind.Truncated), f => f!.Message.ShouldContain("up to row 10 only"));
        Verify(_chain.Lines(startsAfter: 10), [_chain.Head(5, at: 900), _chain.Head(10, at: 900)]).Fault.ShouldBeNull("it stands on a head that the file knows");
        Verify(_chain.Lines(startsAfter: 15), [.. heads, _chain.Signed(AuditHead.Checkpoint, 15)]).ShouldSatisfyAllConditions(r => r.Fault.ShouldBeNull(), r => r.HeadsMatched.ShouldBe(1));
        Verify(_chain.Lines(startsAfter: 15), [.. heads, _chain.Signed(AuditHead.Checkpoint, 15, new string('5', 64))]).Fault!.Kind.ShouldBe(ChainFaultKind.Altered);
    }

    [Fact]
    public void An_export_from_the_middle_of_a_deletion_verifies_with_a_file_that_knows_its_end_only()
    {
        AuditHead[] heads = [_chain.Head(20, at: 900), _chain.Signed(AuditHead.Checkpoint, 14, at: 2000)];
        Verify(_chain.Lines(startsAfter: 9), heads).ShouldSatisfyAllConditions(r => r.Fault.ShouldBeNull(), r => r.HeadsMatched.ShouldBe(2));
        Verify(_chain.Lines(startsAfter: 9), [heads[0], _chain.Signed(AuditHead.Checkpoint, 14, new string('5', 64), at: 2000)]).Fault!.Kind.ShouldBe(ChainFaultKind.Altered, "row 14 is held against it");
        Verify(_chain.Lines(startsAfter: 16), [_chain.Head(20, at: 3000), heads[1]]).Fault!.Kind.ShouldBe(ChainFaultKind.Truncated, "it knows of no deletion up to there");
    }

    [Fact]
    public void Rows_behind_the_signed_head_are_not_passed_over()
    {
        var lines = _chain.Lines();
        lines[^1] = Line(_chain.Head(15));
        Kind(lines).ShouldBe((ChainFaultKind.Unsigned, 16));
    }

    [Fact]
    public void A_bad_line_of_the_head_file_takes_nothing_from_the_others_and_is_a_fault_of_its_own_chain_only()
    {
        using var other = new SealedLines();
        var altered = Line(_chain.Head(9) with { Sequence = 8 });
        var foreign = Line(_chain.Signed(AuditHead.Checkpoint, 7, by: other.Key));
        string[] lines = [Line(_chain.Head(5)), Line(_chain.Head(9))[..40], "", altered, foreign, """{"kind":"head","chain":null,"sequence":1,"hash":"","at":"2026-01-01T00:00:00Z","key":{},"signature":""}""", Line(_chain.Head(20))];
        var read = HeadFile.Read(lines);
        (read.Unreadable, read.Unsigned, read.UnsignedLineOf(Chain), read.UnsignedLineOf("org_2"), read.HeadsOf(Chain).Count(), read.CheckpointsOf(Chain).Count).ShouldBe((2, 2, 4, null, 2, 0));
        Beside(lines).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(ChainFaultKind.Unsigned), f => f!.Message.ShouldContain("line 4 of the head file"));
        Beside([lines[0], lines[1], Line(_chain.Signed(AuditHead.Head, 3, chain: "org_2") with { Sequence = 4 }), lines[^1]]).ShouldSatisfyAllConditions(r => r.Fault.ShouldBeNull(), r => r.HeadsMatched.ShouldBe(2));
        ChainReport Beside(string[] file)
        {
            var verifier = new ChainVerifier(HeadFile.Read(file), null);
            foreach (var line in _chain.Lines()) verifier.Add(line);
            return verifier.Finish();
        }
    }

    private List<string> Replaced(int line, string by)
    {
        var lines = _chain.Lines();
        lines[line] = by;
        return lines;
    }

    private static (ChainFaultKind, long) Kind(IEnumerable<string> lines) => Verify(lines).Fault is { } fault ? (fault.Kind, fault.Sequence) : throw new ShouldAssertException("it verifies");
}
