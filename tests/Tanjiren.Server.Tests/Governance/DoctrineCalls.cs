using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Tests.Governance;

internal static class DoctrineCalls
{
    public static string DoctrineUrl(this ServerFixture server, string? organizationId = null) => $"/api/organizations/{organizationId ?? server.Owner.OrganizationId}/doctrine";

    public static Task<HttpResponseMessage> PutJsonAsync<T>(this HttpClient client, string url, T body) => client.PutAsync(url, JsonHttp.Content(body), TestContext.Current.CancellationToken);

    /// <summary>As the owner of <c>local</c>.</summary>
    public static async Task<DoctrineBody> SetDoctrineAsync(this ServerFixture server, int basedOn, string document) =>
        await (await server.Client.PutJsonAsync(server.DoctrineUrl(), new SetDoctrineRequest { BasedOn = basedOn, Document = document })).BodyAsync<DoctrineBody>();

    /// <summary>Past the check of the document, as another release would have written it.</summary>
    public static Task WriteVersionAsync(this ServerFixture server, int version, string document) => server.Database.WriteAsync(
        tx => InsertVersionAsync(tx, server.Owner.OrganizationId, version, document), TestContext.Current.CancellationToken);

    public static Task<int> InsertVersionAsync(WriteTransaction tx, string organizationId, int version, string document) =>
        tx.ExecuteAsync("INSERT INTO doctrine_versions (organization_id, version, document, created_at) VALUES (@organizationId, @version, @document, 0)", new { organizationId, version, document });
}
