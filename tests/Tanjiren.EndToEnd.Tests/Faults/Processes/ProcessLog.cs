using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>What a process printed, over its restarts, with the time since the log began. Bounded: only the newest lines matter in a failure.</summary>
internal sealed class ProcessLog(string name)
{
    private const int KeptLines = 20_000;
    private const int TailLines = 60;
    private readonly Queue<string> _lines = new();
    private readonly Lock _gate = new();
    private readonly long _began = Stopwatch.GetTimestamp();

    public string Name => name;

    public void Add(string stream, string? line)
    {
        if (line is null)
            return;
        lock (_gate)
        {
            _lines.Enqueue($"{Stopwatch.GetElapsedTime(_began).TotalSeconds,8:0.000} {stream,-4} {line}");
            if (_lines.Count > KeptLines)
                _lines.Dequeue();
        }
    }

    public Match? Find(Regex pattern)
    {
        lock (_gate)
            return _lines.Select(line => pattern.Match(line)).FirstOrDefault(match => match.Success);
    }

    public int Count(Regex pattern)
    {
        lock (_gate)
            return _lines.Count(pattern.IsMatch);
    }

    public string Tail(int lines = TailLines)
    {
        lock (_gate)
            return string.Join(Environment.NewLine, [$"--- {name}, last lines ---", .. _lines.TakeLast(lines)]);
    }
}
