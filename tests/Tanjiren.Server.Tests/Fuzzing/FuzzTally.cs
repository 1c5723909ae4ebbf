using System.Globalization;
using System.Text;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Counts what the cases met, by route.</summary>
internal sealed class FuzzTally
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Counts> _routes = new(StringComparer.Ordinal);
    private readonly SortedDictionary<int, int> _statuses = [];

    public int Cases { get; private set; }

    /// <summary>Cases with an answer: all but those that were left hanging, as they had asked.</summary>
    public int Answered { get; private set; }

    /// <summary>Answers that are not 401. A workstation's nonce is fetched as an agent does, so its handshake is not a case of its own.</summary>
    public int Admitted { get; private set; }

    public double AdmittedPercent => Answered == 0 ? 0 : 100.0 * Admitted / Answered;

    public IReadOnlyList<string> NeverSucceeded
    {
        get { lock (_gate) return [.. _routes.Where(r => r.Value.Succeeded == 0).Select(r => r.Key)]; }
    }

    public void Add(Draft draft, Answer answer)
    {
        lock (_gate)
        {
            if (!_routes.TryGetValue(draft.Route.Name, out var counts)) _routes[draft.Route.Name] = counts = new Counts();
            Cases++;
            counts.Cases++;
            if (answer.Hung) counts.Hung++;
            if (answer.Hung || answer.Wrong is not null) return;
            Answered++;
            _statuses[answer.Status] = _statuses.GetValueOrDefault(answer.Status) + 1;
            if (answer.Status == 401) return;
            Admitted++;
            counts.Admitted++;
            if (answer.Status < 300) counts.Succeeded++;
        }
    }

    public string Table()
    {
        lock (_gate)
        {
            var text = new StringBuilder($"{"route",-28}{"cases",8}{"admitted",10}{"success",9}{"hung",6}").AppendLine();
            foreach (var (route, c) in _routes) text.AppendLine($"{route,-28}{c.Cases,8}{c.Admitted,10}{c.Succeeded,9}{c.Hung,6}");
            text.Append("statuses: ").AppendJoin(", ", _statuses.Select(s => $"{s.Key} x {s.Value}"));
            return text.AppendLine().Append(CultureInfo.InvariantCulture, $"passed authentication: {Admitted} of {Answered} ({AdmittedPercent:0.00} %)").ToString();
        }
    }

    private sealed class Counts
    {
        public int Cases { get; set; }
        public int Admitted { get; set; }
        public int Succeeded { get; set; }
        public int Hung { get; set; }
    }
}
