using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Governance;

internal static class DoctrineCalls
{
    public static string DoctrineUrl(this ServerFixture server, string? organizationId = null) => $"/api/organizations/{organizationId ?? server.Owner.OrganizationId}/doctrine";

    public static Task<HttpResponseMessage> PutJsonAsync<T>(this HttpClient client, string url, T body) => client.PutAsync(url, JsonHttp.Content(body), TestContext.Current.CancellationToken);

    /// <summary>As the owner of <c>local</c>.</summary>
    public static async Task<DoctrineBody> SetDoctrineAsync(this ServerFixture server, int basedOn, string document) =>
        await (await server.Client.PutJsonAsync(server.DoctrineUrl(), new SetDoctrineRequest { BasedOn = basedOn, Document = document })).BodyAsync<DoctrineBody>();
}
