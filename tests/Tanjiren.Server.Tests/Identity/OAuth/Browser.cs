using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity.OAuth;

/// <summary>A person's browser as far as the page /device needs one: cookies, and the form that it shows.</summary>
internal sealed class Browser(ServerFixture server, string email) : IDisposable
{
    private readonly HttpClient _client = server.NewClient(null);
    private readonly Dictionary<string, string> _cookies = [];

    public string Email => email;

    /// <summary>A new member of the workspace <c>local</c>, whose browser is signed in.</summary>
    public static async Task<Browser> OfMemberAsync(ServerFixture server, Role role = Role.Member)
    {
        var email = $"{Guid.NewGuid():n}@example.test";
        (await server.Client.PostJsonAsync($"/api/organizations/{server.Owner.OrganizationId}/members",
            new AddMemberRequest { Email = email, Password = ServerFixture.Password, Role = role })).EnsureSuccessStatusCode();
        var browser = new Browser(server, email);
        await browser.LogInAsync();
        return browser;
    }

    public async Task LogInAsync()
    {
        var login = await _client.PostJsonAsync("/api/auth/login", new LoginRequest { Email = email, Password = ServerFixture.Password });
        login.EnsureSuccessStatusCode();
        Keep(login);
    }

    public async Task<(HttpResponseMessage Answer, string Html)> OpenAsync(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        return await SendAsync(request);
    }

    /// <summary>Sends a form of the page, changed by the test where it likes.</summary>
    public Task<(HttpResponseMessage Answer, string Html)> SubmitAsync(Dictionary<string, string> fields, string? origin = "own") =>
        SubmitFormAsync(new FormUrlEncodedContent(fields), origin);

    /// <summary>The same, in an encoding of the test's choice.</summary>
    public async Task<(HttpResponseMessage Answer, string Html)> SubmitFormAsync(HttpContent form, string? origin = "own")
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/device") { Content = form };
        if (origin is not null) request.Headers.Add("Origin", origin == "own" ? server.Url : origin);
        return await SendAsync(request);
    }

    /// <summary>The form that the page shows for a code.</summary>
    public async Task<Dictionary<string, string>> FormAsync(string userCode)
    {
        var (answer, html) = await OpenAsync("/device?user_code=" + userCode);
        answer.StatusCode.ShouldBe(HttpStatusCode.OK, html);
        return HtmlForm.Read(html);
    }

    public async Task ApproveAsync(string userCode, string? organizationId = null)
    {
        var form = await FormAsync(userCode);
        form["action"] = "approve";
        form["organization"] = organizationId ?? server.Owner.OrganizationId;
        var (answer, html) = await SubmitAsync(form);
        answer.StatusCode.ShouldBe(HttpStatusCode.OK, html);
        html.ShouldContain("the device is signed in");
    }

    public void Dispose() => _client.Dispose();

    private async Task<(HttpResponseMessage Answer, string Html)> SendAsync(HttpRequestMessage request)
    {
        if (_cookies.Count > 0) request.Headers.Add("Cookie", string.Join("; ", _cookies.Select(c => $"{c.Key}={c.Value}")));
        var answer = await _client.SendAsync(request, TestContext.Current.CancellationToken);
        Keep(answer);
        return (answer, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    private void Keep(HttpResponseMessage answer)
    {
        if (!answer.Headers.TryGetValues("Set-Cookie", out var cookies)) return;
        foreach (var pair in cookies.Select(c => c.Split(';')[0].Split('=', 2))) _cookies[pair[0]] = pair[1];
    }
}
