using Tanjiren.Server.Tests.Identity.OAuth;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hostile;

/// <summary>Every hostile request that we know of, each refused by its own status, code and error name, and none of them served.</summary>
public sealed class HostileRequestTests(HostileRequestTests.Benches benches) : IClassFixture<HostileRequestTests.Benches>
{
    private static readonly IReadOnlyDictionary<string, HostileRequest> Table =
        new[] { ProofRows.All, PairingRows.All, OAuthRows.All, BrowserRows.All }.SelectMany(rows => rows).ToDictionary(row => row.Name);

    public static TheoryData<DatabaseKind, string> Rows()
    {
        var data = new TheoryData<DatabaseKind, string>();
        foreach (var kind in new[] { DatabaseKind.Sqlite, DatabaseKind.Postgres })
            foreach (var name in Table.Keys) data.Add(kind, name);
        return data;
    }

    [Fact]
    public void The_table_has_at_least_sixty_rows() => Table.Count.ShouldBeGreaterThanOrEqualTo(60);

    [Theory, MemberData(nameof(Rows))]
    public async Task It_is_refused(DatabaseKind kind, string name)
    {
        var row = Table[name];
        if (!row.Alone)
        {
            await RefuseAsync(row, await benches.SharedAsync(kind));
            return;
        }
        await using var own = await HostileBench.StartAsync(kind);
        await RefuseAsync(row, own);
    }

    private static async Task RefuseAsync(HostileRequest row, HostileBench bench)
    {
        var handled = bench.Handled;

        var response = await row.Send(bench);

        if (row.OAuthError is not null)
        {
            await Task.FromResult(response).RefusedAsync(row.OAuthError, row.Status);
            return;
        }
        var problem = await response.ProblemAsync(row.Status, row.Code);
        row.Tells?.Invoke(problem);
        (bench.Handled - handled).ShouldBe(row.Served);
        if (row.Error is null) return;
        var challenge = response.Headers.WwwAuthenticate.ShouldHaveSingleItem();
        challenge.Scheme.ShouldBe("DPoP");
        challenge.Parameter!.ShouldContain("algs=\"ES256\"");
        if (row.Error.Length > 0) challenge.Parameter!.ShouldContain($"error=\"{row.Error}\"");
        else challenge.Parameter!.ShouldNotContain("error=");
        response.Headers.GetValues("DPoP-Nonce").ShouldHaveSingleItem();
    }

    /// <summary>One bench for each database, for the rows that leave it as it was.</summary>
    public sealed class Benches : IAsyncLifetime
    {
        private readonly Dictionary<DatabaseKind, HostileBench> _started = [];

        public ValueTask InitializeAsync() => ValueTask.CompletedTask;

        internal async Task<HostileBench> SharedAsync(DatabaseKind kind)
        {
            if (!_started.TryGetValue(kind, out var bench)) _started[kind] = bench = await HostileBench.StartAsync(kind);
            return bench;
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var bench in _started.Values) await bench.DisposeAsync();
        }
    }
}
