using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Tanjiren.Agent.Masking;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Masking;

/// <summary>
/// Secrets, texts, forms, cuts and interleavings by chance: 2,000 cases, 100,000 in <c>eng/test-long</c>. A case follows from its number alone; a failure names it, and
/// <c>TANJIREN_SEED=N PROJECTS=Agent eng/test -class '*MaskPropertyTests'</c> plays that one.
/// </summary>
public sealed class MaskPropertyTests
{
    private static readonly int Cases = Prerequisite.LongRun ? 100_000 : 2_000;

    [Fact]
    public void No_form_of_a_secret_leaves_and_all_else_does_byte_for_byte()
    {
        var failures = new ConcurrentDictionary<int, Exception>();
        var only = int.TryParse(Environment.GetEnvironmentVariable("TANJIREN_SEED"), NumberStyles.None, CultureInfo.InvariantCulture, out var seed);
        Parallel.For(only ? seed : 0, only ? seed + 1 : Cases, (number, loop) =>
        {
            try
            {
                Play(MaskCase.Of(number));
            }
            catch (Exception e)
            {
                failures[number] = e;
                loop.Stop();
            }
        });
        if (failures.IsEmpty) return;
        var (first, why) = failures.MinBy(f => f.Key);
        throw new InvalidOperationException($"TANJIREN_SEED={first}: {MaskCase.Of(first)}", why);
    }

    /// <summary>What the cases are worth: each form is in many of them, and is found.</summary>
    [Fact]
    public void The_cases_hold_every_form_and_most_have_something_to_hide()
    {
        var cases = Enumerable.Range(0, 500).Select(MaskCase.Of).ToList();
        var forms = cases.SelectMany(c => c.Streams).SelectMany(s => s.Forms).CountBy(f => f.Kind).ToDictionary();
        foreach (var kind in Enum.GetValues<FormKind>()) forms.GetValueOrDefault(kind).ShouldBeGreaterThan(50, kind.ToString());
        cases.Count(c => c.Streams.Any(s => MaskOracle.Expected(s.Text, c.Secrets).AsSpan().IndexOf(Coverage.Mark) >= 0)).ShouldBeGreaterThan(400);
    }

    private static void Play(MaskCase played)
    {
        var set = MaskSet.Of(played.Secrets)!;
        var maskers = played.Streams.Select(_ => new StreamMasker(set)).ToArray();
        var outputs = played.Streams.Select(_ => new MemoryStream()).ToArray();
        foreach (var (stream, from, length) in played.Pieces) outputs[stream].Write(maskers[stream].Write(played.Streams[stream].Text.AsSpan(from, length)));
        for (var i = 0; i < maskers.Length; i++)
        {
            outputs[i].Write(maskers[i].Finish());
            var left = outputs[i].ToArray();
            // First what nobody may ever see, by encoders that are not ours; then that nothing else was touched.
            foreach (var form in played.Streams[i].Forms)
                (left.AsSpan().IndexOf(form.Telling) < 0).ShouldBeTrue($"stream {i} lets out {form.Kind} {Encoding.Latin1.GetString(form.Telling)} in: {Encoding.Latin1.GetString(left)}");
            var expected = MaskOracle.Expected(played.Streams[i].Text, played.Secrets);
            left.AsSpan().SequenceEqual(expected).ShouldBeTrue($"stream {i}:\n{Encoding.Latin1.GetString(left)}\ninstead of\n{Encoding.Latin1.GetString(expected)}");
        }
    }
}
