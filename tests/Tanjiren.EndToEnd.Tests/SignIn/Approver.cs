using System.Net;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>A person with a browser at the page /device, by HTTP: signs in with a password on the page itself, then presses a button.</summary>
internal sealed class Approver(Uri server, string email, string password)
{
    public Task ApproveAsync(string page) => DecideAsync(page, "approve", "the device is signed in");

    public Task DenyAsync(string page) => DecideAsync(page, "deny", "the device was not signed in");

    private async Task DecideAsync(string page, string action, string done)
    {
        using var browser = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, CookieContainer = new CookieContainer() }) { BaseAddress = server };
        browser.DefaultRequestHeaders.Add("Origin", server.GetLeftPart(UriPartial.Authority));

        var signIn = HtmlForm.Read(await browser.GetStringAsync(page));
        (signIn["action"], signIn["email"], signIn["password"]) = ("sign-in", email, password);
        using var signedIn = await browser.PostAsync("/device", new FormUrlEncodedContent(signIn));
        signedIn.StatusCode.ShouldBe(HttpStatusCode.SeeOther, await signedIn.Content.ReadAsStringAsync());

        var decision = HtmlForm.Read(await browser.GetStringAsync("/" + signedIn.Headers.Location));
        decision["action"] = action;
        using var decided = await browser.PostAsync("/device", new FormUrlEncodedContent(decision));
        var html = await decided.Content.ReadAsStringAsync();
        decided.StatusCode.ShouldBe(HttpStatusCode.OK, html);
        html.ShouldContain(done);
    }
}
