using System.Collections.Concurrent;
using Dapper;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Sqlite;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Identity;

namespace Tanjiren.Simulation.Tests;

/// <summary>
/// The database that every seed begins with: migrated, with one organization of an owner, an admin and a member, its doctrine, and four workstations. Copied for each
/// seed, in memory where there is a file system for that: what a disk loses is modelled where it matters, and a commit of ours need not wait for a real one.
/// </summary>
internal sealed class Template : IDisposable
{
    private const string Doctrine = """
        approvals:
          - name: production
            class: production_mutation
            when: { tags: [production] }
        """;

    private static readonly string Root = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();

    private readonly string _directory = Directory.CreateDirectory(Path.Combine(Root, $"tanjiren-simulation-{Environment.ProcessId}-{Guid.NewGuid():n}")).FullName;
    private readonly ConcurrentBag<string> _free = [];
    private int _paths;

    private Template(IReadOnlyList<Device> devices, IReadOnlyList<Caller> members) => (Devices, Members) = (devices, members);

    public IReadOnlyList<Device> Devices { get; }

    /// <summary>Owner, admin, member.</summary>
    public IReadOnlyList<Caller> Members { get; }

    public static async Task<Template> CreateAsync()
    {
        // One millisecond each: their ids are in the order in which they are made.
        var made = 0;
        string Id(string prefix) => Ids.New(prefix, DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_000 + ++made));
        var organizationId = Id(Ids.Organization);
        Role[] roles = [Role.Owner, Role.Admin, Role.Member];
        List<Caller> members = [.. roles.Select(role => new Caller(Id(Ids.User), $"{role}@example.test", organizationId, "home", role, "", null))];
        List<Device> devices = [.. Enumerable.Range(0, 4).Select(i => new Device(Id(Ids.Instance), organizationId, $"jkt-{i}", ""))];
        var template = new Template(devices, members);

        await using (var database = new Database(new SqliteProvider(template.Original, TimeProvider.System)))
        {
            await new Migrator(database, TimeProvider.System, NullLogger<Migrator>.Instance).MigrateAsync(CancellationToken.None);
            await database.WriteAsync(async tx =>
            {
                await tx.ExecuteAsync("INSERT INTO organizations (id, name, created_at) VALUES (@organizationId, 'home', 0)", new { organizationId });
                await tx.ExecuteAsync("INSERT INTO doctrine_versions (organization_id, version, document, created_at) VALUES (@organizationId, 1, @Doctrine, 0)", new { organizationId, Doctrine });
                foreach (var member in members)
                {
                    await tx.ExecuteAsync("""
                        INSERT INTO users (id, email, created_at) VALUES (@UserId, @Email, 0);
                        INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@OrganizationId, @UserId, @role, 0);
                        """, new { member.UserId, member.Email, member.OrganizationId, role = member.Role.ToString().ToLowerInvariant() });
                }
                foreach (var device in devices)
                {
                    await tx.ExecuteAsync("""INSERT INTO instances (id, organization_id, name, tags, max_concurrent, created_at) VALUES (@InstanceId, @OrganizationId, @KeyThumbprint, '["pool"]', 1, 0)""",
                        new { device.InstanceId, device.OrganizationId, device.KeyThumbprint });
                }
            }, CancellationToken.None);
        }
        // All of it in the one file that is copied.
        using var connection = SqliteLibrary.Connect($"Data Source={template.Original};Pooling=False");
        connection.Open();
        connection.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
        return template;
    }

    /// <summary>A path serves one seed after another: what Dapper compiles for a statement it keeps by the connection string.</summary>
    public CopiedFile Copy()
    {
        if (!_free.TryTake(out var path)) path = Path.Combine(_directory, $"{Interlocked.Increment(ref _paths)}.db");
        File.Copy(Original, path);
        return new CopiedFile(path, _free.Add);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private string Original => Path.Combine(_directory, "template.db");
}

/// <summary>A seed's database, gone with the seed.</summary>
internal sealed class CopiedFile(string path, Action<string> gone) : IDisposable
{
    public string Path => path;

    public void Dispose()
    {
        foreach (var suffix in (string[])["", "-wal", "-shm"]) File.Delete(path + suffix);
        gone(path);
    }
}
