using System.Diagnostics;
using System.Text;
using Tanjiren.Agent.Masking;

namespace Tanjiren.Bench;

/// <summary>The agent's masks over a job's output, in memory and in pieces as they come from a pipe, one thread; beside the copy that is made of it without them.</summary>
internal sealed class MaskedOutput : IThroughputContender
{
    public const string Baseline = "copied, nothing masked";

    private const int PieceBytes = 64 * 1024;

    private readonly byte[] _text;
    private readonly byte[] _copy = new byte[PieceBytes];
    private readonly MaskSet? _set;
    private readonly string _measures;

    private MaskedOutput(string name, int secrets, bool isJson)
    {
        var values = Enumerable.Range(0, 20).Select(ValueOf).ToArray();
        (Name, _set) = (name, MaskSet.Of(values[..secrets]));
        _text = Text(values, isJson);
        _measures = $"{secrets} secrets of 40 characters; {(isJson ? "lines of JSON with escaped quotes and paths" : "lines as a build prints them")}, a secret in one of 500";
    }

    public string Name { get; }

    public string Measures => _measures;

    /// <summary>In MiB a second.</summary>
    public static Task<IReadOnlyList<Measured>> MeasureAsync(BenchSettings settings, CancellationToken cancellation) => Rounds.ThroughputAsync(
    [
        Entry(Baseline, secrets: 0, isJson: false), Entry("1 secret", secrets: 1, isJson: false), Entry("20 secrets", secrets: 20, isJson: false),
        Entry("1 secret, JSON", secrets: 1, isJson: true), Entry("20 secrets, JSON", secrets: 20, isJson: true),
    ], settings.Mebibytes, settings, cancellation);

    public Task<double> RunAsync(int items, CancellationToken cancellation)
    {
        var masker = _set is null ? null : new StreamMasker(_set);
        var (left, written) = (items * 1024L * 1024, 0L);
        var began = Stopwatch.GetTimestamp();
        for (var at = 0; left > 0; left -= PieceBytes, at = at + 2 * PieceBytes > _text.Length ? 0 : at + PieceBytes)
        {
            var piece = _text.AsSpan(at, PieceBytes);
            if (masker is null) piece.CopyTo(_copy);
            written += masker is null ? piece.Length : masker.Write(piece).Length;
        }
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        if (written == 0 || masker is { Marks: 0 }) throw new InvalidOperationException($"{Name}: nothing was masked");
        return Task.FromResult(items / seconds);
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static Entry<IThroughputContender> Entry(string name, int secrets, bool isJson) =>
        new(name, () => Task.FromResult<IThroughputContender>(new MaskedOutput(name, secrets, isJson)));

    private static string ValueOf(int number)
    {
        var random = new Random(number);
        return new string([.. Enumerable.Range(0, 40).Select(_ => (char)random.Next(33, 127))]);
    }

    /// <summary>4 MiB of lines, the same in each run.</summary>
    private static byte[] Text(string[] secrets, bool isJson)
    {
        var (random, text) = (new Random(1), new StringBuilder());
        for (var line = 0; text.Length < 4 * 1024 * 1024 + PieceBytes; line++)
        {
            var word = line % 500 == 0 ? secrets[line / 500 % secrets.Length] : random.Next().ToString("x8");
            if (isJson) text.Append($$"""{"level":"info","at":{{line}},"file":"C:\\build\\src\\{{word}}.c","message":"compiling \"{{word}}\"\n{{random.Next(100)}} % done"}""").Append('\n');
            else text.Append($"[{random.Next(100),3}%] Building object src/module-{random.Next(400)}/CMakeFiles/{word}.dir/file-{line}.cpp.o -O2 -Wall -I/usr/include/x86_64-linux-gnu\n");
        }
        return Encoding.UTF8.GetBytes(text.ToString());
    }
}
