using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.RegularExpressions;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>What came back. <see cref="Wrong"/>: the client itself could not accept it, or the API document does not declare it.</summary>
internal sealed record Answer(int Status, string? MediaType, string Text, string? Cookie, bool HasRetryAfter)
{
    public string? Wrong { get; init; }

    /// <summary>The server kept it waiting, as it may; the client went away.</summary>
    public bool Hung { get; init; }
}

/// <summary>
/// Sends drafts over one kept-alive connection. Whatever a draft has become, its proof is fresh and over exactly what is sent, with the server's nonce: what is
/// refused is refused for what it says.
/// </summary>
internal sealed partial class FuzzClient(ServerFixture server) : IDisposable
{
    private const int MostRead = 256 * 1024;

    /// <summary>How long a request that may hang is waited for. It decides only how soon the client leaves, not what passes.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(150);

    private readonly HttpClient _client = new(new DeclaredAnswers()) { Timeout = TimeSpan.FromMinutes(3) };
    private string? _nonce;

    public string Origin => server.Url;

    /// <summary>A workstation that nobody knows yet.</summary>
    public DeviceClient NewDevice() => new(server.Url, TimeProvider.System);

    public async Task<Answer> SendAsync(Draft draft)
    {
        for (var attempt = 1; ; attempt++)
        {
            using var left = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            if (draft.MayHang) left.CancelAfter(Patience);
            try
            {
                using var request = Build(draft);
                using var response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, left.Token);
                if (response.Headers.TryGetValues(DPoPProof.NonceHeader, out var nonces)) _nonce = nonces.Single();
                var answer = await ReadAsync(response, left.Token);
                if (attempt == 1 && answer.Status == 401 && answer.Text.Contains("\"use_dpop_nonce\"", StringComparison.Ordinal)) continue;
                return answer;
            }
            catch (OperationCanceledException) when (draft.MayHang && !TestContext.Current.CancellationToken.IsCancellationRequested)
            {
                return new Answer(0, null, "", null, false) { Hung = true };
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or Shouldly.ShouldAssertException)
            {
                return new Answer(0, null, "", null, false) { Wrong = e.Message };
            }
        }
    }

    /// <summary>The fields of the forms that a page shows to this person, and the cookie that came with it.</summary>
    public async Task<(ILookup<string, string> Fields, string? Cookie)> FetchFormAsync(string pathAndQuery, Person? person)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, server.Url + pathAndQuery);
        if (person is { IsCookie: true }) request.Headers.TryAddWithoutValidation("Cookie", person.Secret);
        using var page = await _client.SendAsync(request, TestContext.Current.CancellationToken);
        var html = await page.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        var fields = InputTag().Matches(html).Select(m => (Name: NameAttribute().Match(m.Value).Groups["text"].Value, Value: WebUtility.HtmlDecode(ValueAttribute().Match(m.Value).Groups["text"].Value)))
            .Where(f => f.Name.Length > 0).ToLookup(f => f.Name, f => f.Value);
        return (fields, page.Headers.TryGetValues("Set-Cookie", out var cookies) ? string.Join("; ", cookies.Select(c => c.Split(';')[0])) : null);
    }

    /// <summary>The request as text, for a person and for <c>curl</c>.</summary>
    public string Describe(Draft draft)
    {
        using var request = Build(draft);
        var text = new StringBuilder($"{request.Method} {request.RequestUri}").AppendLine();
        foreach (var header in request.Headers.Concat(request.Content?.Headers.AsEnumerable() ?? []))
            text.AppendLine($"{header.Key}: {string.Join(", ", header.Value)}");
        var body = draft.Encode();
        var shown = body.All(b => b is >= 32 and < 127 or 10) ? Encoding.ASCII.GetString(body) : "base64 " + Convert.ToBase64String(body);
        return text.AppendLine().Append(shown.Length > 4000 ? shown[..4000] + $"… ({body.Length} bytes in all)" : shown).ToString();
    }

    public void Dispose() => _client.Dispose();

    private HttpRequestMessage Build(Draft draft)
    {
        // By way of Uri first: what it does to a path, the proof must follow.
        var uri = new Uri(server.Url + draft.PathAndQuery());
        var request = new HttpRequestMessage(new HttpMethod(draft.Route.Method), uri);
        var body = draft.Encode();
        if (body.Length > 0 || draft.Route.Body is not null)
        {
            request.Content = new ByteArrayContent(body);
            if (draft.ContentType is not null) request.Content.Headers.TryAddWithoutValidation("Content-Type", draft.ContentType);
            // A refusal of a large body comes before the body; whoever goes on sending may lose it to the closed connection.
            request.Headers.ExpectContinue = body.Length > 16 * 1024;
        }
        if (draft.Device is { } device)
        {
            var token = draft.Route.Admission == Admission.Workstation ? device.AccessToken : null;
            request.Headers.TryAddWithoutValidation(DPoPProof.Header, DPoPProof.Create(device.Key, device.PublicKey, draft.Route.Method, uri.AbsoluteUri, body, TimeProvider.System.GetUtcNow(), token, _nonce));
            if (token is not null) request.Headers.Authorization = new AuthenticationHeaderValue("DPoP", token);
        }
        if (draft.Person is { IsCookie: false } person) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", person.Secret);
        var cookies = draft.Headers.Where(h => h.Name == "Cookie").Select(h => h.Value).ToList();
        if (draft.Person is { IsCookie: true } browser)
        {
            cookies.Add(browser.Secret);
            if (!draft.Headers.Any(h => h.Name == "Origin")) request.Headers.TryAddWithoutValidation("Origin", server.Url);
        }
        if (cookies.Count > 0) request.Headers.TryAddWithoutValidation("Cookie", string.Join("; ", cookies));
        foreach (var (name, value) in draft.Headers.Where(h => h.Name != "Cookie")) request.Headers.TryAddWithoutValidation(name, value);
        return request;
    }

    private static async Task<Answer> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var buffer = new byte[8192];
        using var text = new MemoryStream();
        await using var stream = await response.Content.ReadAsStreamAsync(cancellationToken);
        var streams = response.Content.Headers.ContentType?.MediaType == "text/event-stream";
        try
        {
            for (int read; text.Length < MostRead && (read = await stream.ReadAsync(buffer, cancellationToken)) > 0;) text.Write(buffer, 0, read);
        }
        catch (OperationCanceledException) when (streams)
        {
            // An open stream of events: what has come is the answer.
        }
        return new Answer((int)response.StatusCode, response.Content.Headers.ContentType?.MediaType, Encoding.UTF8.GetString(text.GetBuffer(), 0, (int)text.Length),
            response.Headers.TryGetValues("Set-Cookie", out var cookies) ? cookies.First().Split(';')[0] : null, response.Headers.RetryAfter is not null);
    }

    [GeneratedRegex("<input[^>]*>", RegexOptions.None, 1000)]
    private static partial Regex InputTag();

    [GeneratedRegex("name=\"(?<text>[^\"]*)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex NameAttribute();

    [GeneratedRegex("value=\"(?<text>[^\"]*)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex ValueAttribute();
}
