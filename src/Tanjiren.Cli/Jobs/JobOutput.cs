using System.Text;

using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

internal enum PrefixMode
{
    /// <summary>Prefix when the task has more than one step.</summary>
    Auto,
    Always,
    Never,
}

/// <summary>Where the pieces of a job's output go: stdout to ours, stderr and the agent's own words to our stderr (events of coding agents nowhere), raw or with a name before each line.</summary>
internal sealed class JobOutput(Stream stdout, Stream stderr, PrefixMode mode)
{
    private readonly Dictionary<string, string> names = [];
    private readonly Dictionary<(string Step, bool Out), LinePrefixer> prefixers = [];
    private readonly Dictionary<string, EventFilter> filters = [];
    private int steps;

    public bool Prefixed => mode == PrefixMode.Always || (mode == PrefixMode.Auto && steps > 1);

    /// <summary>Learns the names of the steps; the claimer of an <c>any</c> step is known only once it is claimed.</summary>
    public void Learn(TaskBody task)
    {
        if (task.Execution is not { } execution) return;
        steps = execution.Steps.Count;
        foreach (var step in execution.Steps) names[step.Id] = step.InstanceName ?? step.InstanceId ?? step.Id;
    }

    public void Write(LogChunkBody chunk)
    {
        var toOut = chunk.Stream == LogStream.Stdout;
        var target = toOut ? stdout : stderr;
        var data = WordsOf(chunk);
        if (data.Length == 0) return;
        if (!Prefixed)
        {
            target.Write(data);
            target.Flush();
            return;
        }
        if (!prefixers.TryGetValue((chunk.StepId, toOut), out var prefixer))
        {
            var name = Text.Safe(names.GetValueOrDefault(chunk.StepId, chunk.StepId));
            prefixers[(chunk.StepId, toOut)] = prefixer = new LinePrefixer(target, Encoding.UTF8.GetBytes($"{name} | "));
        }
        prefixer.Write(data);
    }

    private byte[] WordsOf(LogChunkBody chunk)
    {
        if (chunk.Stream != LogStream.System) return chunk.Data;
        if (!filters.TryGetValue(chunk.StepId, out var filter)) filters[chunk.StepId] = filter = new EventFilter();
        return filter.Words(chunk.Data);
    }

    /// <summary>Writes what is held back for the end of its line.</summary>
    public void Finish()
    {
        foreach (var prefixer in prefixers.Values) prefixer.Flush();
    }
}
