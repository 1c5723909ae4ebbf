using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>What the beat file must never show. Pure: each rule gives one sentence for each breach.</summary>
internal static class BeatRules
{
    /// <summary>
    /// No two processes of one step at once. A process is alive from its first line to its last, so two of one step must lie apart in the file:
    /// also when the first was only stopped meanwhile and beats again after the second began.
    /// </summary>
    public static IReadOnlyList<string> Overlaps(IReadOnlyList<Beat> beats)
    {
        var breaches = new List<string>();
        foreach (var step in beats.GroupBy(beat => beat.StepId))
        {
            var lives = step.GroupBy(beat => beat.Process).Select(lines => (First: lines.MinBy(beat => beat.Line)!, Last: lines.MaxBy(beat => beat.Line)!))
                .OrderBy(life => life.First.Line).ToArray();
            foreach (var (one, next) in lives.Zip(lives.Skip(1)))
            {
                if (one.Last.Line > next.First.Line)
                    breaches.Add($"{step.Key}: process {one.First.Process} (generation {one.First.Generation}) still wrote line {one.Last.Line} at uptime {one.Last.Uptime}, "
                        + $"after process {next.First.Process} (generation {next.First.Generation}) had begun in line {next.First.Line} at {next.First.Uptime}");
            }
        }
        return breaches;
    }

    /// <summary>No generation is executed by two processes: a claim starts at most one.</summary>
    public static IReadOnlyList<string> SharedGenerations(IReadOnlyList<Beat> beats) =>
        [.. beats.Where(beat => beat.Kind == BeatKind.Start).GroupBy(beat => (beat.StepId, beat.Generation)).Where(starts => starts.Count() > 1)
            .Select(starts => $"{starts.Key.StepId}: generation {starts.Key.Generation} was started {starts.Count()} times")];

    /// <summary>A step that may not be queued again is run by one process at most, whatever the generations.</summary>
    public static IReadOnlyList<string> SecondRuns(IReadOnlyList<Beat> beats, IReadOnlySet<string> onceOnly) =>
        [.. beats.Where(beat => beat.Kind == BeatKind.Start && onceOnly.Contains(beat.StepId)).GroupBy(beat => beat.StepId).Where(starts => starts.Count() > 1)
            .Select(starts => $"{starts.Key} may run once and was started {starts.Count()} times")];

    /// <summary>Every step that the server calls succeeded has an end in the file, written under the generation whose result was taken.</summary>
    public static IReadOnlyList<string> SuccessesWithoutEnd(IReadOnlyList<Beat> beats, IEnumerable<StepBody> steps)
    {
        var ends = beats.Where(beat => beat.Kind == BeatKind.End).Select(beat => (beat.StepId, beat.Generation)).ToHashSet();
        // Taking the result raised the generation by one.
        return [.. steps.Where(step => step.State == StepState.Succeeded && !ends.Contains((step.Id, step.LeaseGeneration - 1)))
            .Select(step => $"{step.Id} succeeded at generation {step.LeaseGeneration}, but no process of generation {step.LeaseGeneration - 1} reached its end")];
    }
}
