using System.Net.Http.Headers;
using System.Net.Http.Json;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The counters of <c>/api/status</c>, summed over the loops of one server and over its restarts.</summary>
internal sealed class ServerCounters(Uri server) : IDisposable
{
    private readonly HttpClient _http = new() { BaseAddress = server, Timeout = TimeSpan.FromSeconds(90) };
    private readonly Dictionary<string, long> _ofPastLives = [];

    /// <summary>The counters are shown to whoever is signed in.</summary>
    public void SignIn(string token) => _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);

    public async Task<bool> IsReadyAsync()
    {
        try
        {
            using var answer = await _http.GetAsync("/readyz");
            return answer.IsSuccessStatusCode;
        }
        catch (Exception notYet) when (notYet is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }

    /// <summary>Keeps what this life counted. Called before its end.</summary>
    public async Task KeepAsync() => Add(_ofPastLives, await ReadAsync());

    public async Task<IReadOnlyDictionary<string, long>> TotalAsync()
    {
        var total = new Dictionary<string, long>(_ofPastLives);
        Add(total, await ReadAsync());
        return total;
    }

    public void Dispose() => _http.Dispose();

    private async Task<IReadOnlyDictionary<string, long>> ReadAsync()
    {
        var status = await _http.GetFromJsonAsync("/api/status", WireJson.Default.StatusBody);
        var sum = new Dictionary<string, long>();
        foreach (var loop in status!.Loops)
            Add(sum, loop.Counters);
        return sum;
    }

    private static void Add(Dictionary<string, long> to, IReadOnlyDictionary<string, long> from)
    {
        foreach (var (name, value) in from)
            to[name] = to.GetValueOrDefault(name) + value;
    }
}
