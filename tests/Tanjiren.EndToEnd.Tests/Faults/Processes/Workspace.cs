using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The owner of a fresh server, as a program sees it: set-up, workstations and tasks over REST, past every proxy.</summary>
internal sealed class Workspace : IDisposable
{
    private const string Password = "correct horse battery staple";
    private readonly HttpClient _http;

    private Workspace(HttpClient http) => _http = http;

    /// <summary>The owner's personal access token.</summary>
    public string Token { get; private set; } = "";

    /// <summary>Completes the set-up of a server that has no users yet, and makes a personal access token.</summary>
    public static async Task<Workspace> SetUpAsync(RealServer server)
    {
        var http = new HttpClient { BaseAddress = server.Url, Timeout = TimeSpan.FromSeconds(90) };
        // The defence against foreign sites asks for it on every cookie mutation.
        http.DefaultRequestHeaders.Add("Origin", server.Url.GetLeftPart(UriPartial.Authority));
        var workspace = new Workspace(http);
        const string Email = "owner@example.org";
        await workspace.PostAsync("/api/setup", new SetupRequest { Code = await server.SetupCodeAsync(), Email = Email, Password = Password, OrganizationName = "Faults" },
            WireJson.Default.SetupRequest, WireJson.Default.IdentityBody);
        await workspace.PostAsync("/api/auth/login", new LoginRequest { Email = Email, Password = Password }, WireJson.Default.LoginRequest, WireJson.Default.IdentityBody);
        var token = await workspace.PostAsync("/api/auth/tokens", new CreateTokenRequest { Name = "faults" }, WireJson.Default.CreateTokenRequest, WireJson.Default.CreatedToken);
        workspace.Token = token.Secret;
        server.SignIn(token.Secret);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token.Secret);
        return workspace;
    }

    public async Task<PairingCodeBody> RegisterAsync(string name, params string[] tags)
    {
        var instance = await PostAsync("/api/instances", new CreateInstanceRequest { Name = name, Tags = tags }, WireJson.Default.CreateInstanceRequest, WireJson.Default.InstanceBody);
        using var answer = await _http.PostAsync($"/api/instances/{instance.Id}/pairing-code", null);
        return await ReadAsync(answer, WireJson.Default.PairingCodeBody);
    }

    public Task<TaskBody> CreateTaskAsync(CreateTaskRequest request) => PostAsync("/api/tasks", request, WireJson.Default.CreateTaskRequest, WireJson.Default.TaskBody);

    public async Task<TaskBody> TaskAsync(string id)
    {
        using var answer = await _http.GetAsync($"/api/tasks/{id}");
        return await ReadAsync(answer, WireJson.Default.TaskBody);
    }

    /// <summary>All that is stored of a step's output, page by page.</summary>
    public async Task<IReadOnlyList<LogChunkBody>> LogsAsync(string taskId, string stepId)
    {
        var chunks = new List<LogChunkBody>();
        string? cursor = null;
        do
        {
            using var answer = await _http.GetAsync($"/api/tasks/{taskId}/steps/{stepId}/logs?limit=100{(cursor is null ? "" : $"&cursor={Uri.EscapeDataString(cursor)}")}");
            var page = await ReadAsync(answer, WireJson.Default.PageLogChunkBody);
            chunks.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return chunks;
    }

    public async Task CancelAsync(string id) =>
        await PostAsync($"/api/tasks/{id}/cancel", new CancelTaskRequest(), WireJson.Default.CancelTaskRequest, WireJson.Default.TaskBody);

    public async Task<bool> IsOnlineAsync(string instanceId) => (await InstanceAsync(instanceId)).Status != InstanceStatus.Offline;

    public async Task<InstanceBody> InstanceAsync(string instanceId)
    {
        using var answer = await _http.GetAsync($"/api/instances/{instanceId}");
        return await ReadAsync(answer, WireJson.Default.InstanceBody);
    }

    public void Dispose() => _http.Dispose();

    private async Task<TOut> PostAsync<TIn, TOut>(string path, TIn body, JsonTypeInfo<TIn> type, JsonTypeInfo<TOut> answerType)
    {
        using var answer = await _http.PostAsJsonAsync(path, body, type);
        return await ReadAsync(answer, answerType);
    }

    private static async Task<T> ReadAsync<T>(HttpResponseMessage answer, JsonTypeInfo<T> type)
    {
        if (!answer.IsSuccessStatusCode)
            Assert.Fail($"{answer.RequestMessage!.Method} {answer.RequestMessage.RequestUri!.AbsolutePath}: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
        return await answer.Content.ReadFromJsonAsync(type) ?? throw new InvalidDataException("an empty answer");
    }
}
