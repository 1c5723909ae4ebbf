using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using Tanjiren.Agent.Settings;

namespace Tanjiren.Agent.Masking;

/// <summary>
/// What must not leave the machine of one step (A-12): what its owner named in <c>agent.yaml</c>, the secrets of the task, and the agent's own token. Everything that a step says goes
/// through here before it is written down: its streams (<see cref="StreamOf"/>), and whole texts and events.
/// </summary>
internal sealed class StepMasks
{
    /// <summary>The token that an agent may have been given in its environment. A job never gets it, and may still read it: it runs as the same user.</summary>
    private const string OwnToken = "TANVRIT_TOKEN";

    private readonly MaskSet? set;

    private StepMasks(IReadOnlyCollection<string> values, IReadOnlyList<string> tooShort) => (set, TooShort) = (MaskSet.Of(values), tooShort);

    public static StepMasks None { get; } = new([], []);

    /// <summary>The names of values that are not masked because they are too short; never the values.</summary>
    public IReadOnlyList<string> TooShort { get; }

    /// <param name="settings">The machine owner's.</param>
    /// <param name="job">The job's whole environment.</param>
    /// <param name="secrets">Of the task, by name; they are in its environment too.</param>
    /// <param name="machine">The agent's own environment; absent: as it is.</param>
    public static StepMasks Of(MaskSettings settings, IReadOnlyDictionary<string, string> job, IReadOnlyDictionary<string, string>? secrets, Func<string, string?>? machine = null)
    {
        machine ??= Environment.GetEnvironmentVariable;
        var named = new List<(string Name, string? Value)>();
        foreach (var name in settings.Environment)
        {
            named.Add((name, machine(name)));
            named.Add((name, job.GetValueOrDefault(name)));
        }
        foreach (var (name, value) in secrets ?? new Dictionary<string, string>()) named.Add((name, value));
        for (var i = 0; i < settings.Literals.Count; i++) named.Add(($"mask.literals[{i}]", settings.Literals[i]));
        var tooShort = named.Where(n => n.Value is { Length: > 0 and < MaskForms.LeastCharacters }).Select(n => n.Name).Distinct().ToList();
        // The token is longer than any bound; one that is not is no token.
        named.Add((OwnToken, machine(OwnToken)));
        string[] values = [.. named.Select(n => n.Value).OfType<string>().Where(v => v.Length >= MaskForms.LeastCharacters).Distinct()];
        return values.Length == 0 && tooShort.Count == 0 ? None : new StepMasks(values, tooShort);
    }

    /// <summary>The line of the job's log that names what is not masked; null when everything is.</summary>
    public byte[]? Notice() => TooShort.Count == 0 ? null
        : Encoding.UTF8.GetBytes($"[tanjiren] not masked, because a value of fewer than {MaskForms.LeastCharacters} characters stands everywhere by chance: {string.Join(", ", TooShort)}\n");

    /// <summary>For one stream, which is its own: a secret that is cut by its pieces is found, one that is spread over two streams is not. Null: nothing is to be masked.</summary>
    public StreamMasker? StreamOf() => set is null ? null : new StreamMasker(set);

    /// <summary>A whole text. Without anything to hide it is the same one, whatever is in it.</summary>
    [return: NotNullIfNotNull(nameof(text))]
    public string? Text(string? text)
    {
        if (set is null || text is not { Length: > 0 }) return text;
        return Masked(Encoding.UTF8.GetBytes(text)) is { } masked ? Encoding.UTF8.GetString(masked) : text;
    }

    /// <summary>Text of which the end was cut away. What could be the first half of a value goes as well.</summary>
    public string Beginning(string text)
    {
        if (set is null || text.Length == 0) return text;
        return Encoding.UTF8.GetString(new StreamMasker(set).Write(Encoding.UTF8.GetBytes(text)));
    }

    /// <summary>What the agent itself writes on the system stream, which comes whole: a line, or an event, which stays one.</summary>
    public ReadOnlySpan<byte> Own(ReadOnlySpan<byte> words) =>
        set is null ? words : words is [MaskedJson.RecordSeparator, ..] ? MaskedJson.Record(words, this) : Masked(words) is { } masked ? masked : words;

    /// <summary>A whole event: every string, name and number in it, read as what it means and not as it is written.</summary>
    public JsonElement Json(JsonElement element) => set is null ? element : MaskedJson.Of(element, this);

    /// <summary>Whole bytes; null: there is nothing to hide in them.</summary>
    internal byte[]? Masked(ReadOnlySpan<byte> whole)
    {
        if (set is null) return null;
        var masker = new StreamMasker(set);
        var first = masker.Write(whole).ToArray();
        var rest = masker.Finish();
        return masker.Marks == 0 ? null : [.. first, .. rest];
    }
}
