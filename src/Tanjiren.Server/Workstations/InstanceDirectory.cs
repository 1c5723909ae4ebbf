using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Workstations;

/// <summary>Reads workstations; what other features know of them comes from here. Removed ones do not exist.</summary>
internal sealed class InstanceDirectory
{
    // The running steps are counted from their rows: a counter beside them could drift. The index steps_by_holder makes it cheap.
    private const string Select = """
        SELECT i.id, i.organization_id, i.name, i.worker_name, i.machine_id, i.tags AS tags_json, i.labels AS labels_json, i.coding_agents AS coding_agents_json, i.draining, i.agent_draining, i.agent_version,
               i.max_concurrent, i.last_heartbeat_at, i.created_at, i.grant_id, g.revoked_at AS signed_out_at, k.jkt AS active_jkt,
               (SELECT count(*) FROM steps s WHERE s.lease_holder = i.id AND s.state = 'running') AS active_steps
        FROM instances i LEFT JOIN instance_keys k ON k.instance_id = i.id AND k.revoked_at IS NULL
                         LEFT JOIN oauth_grants g ON g.id = i.grant_id
        WHERE i.organization_id = @organizationId AND i.removed_at IS NULL
        """;

    /// <summary>All workstations of an organization, oldest first.</summary>
    public Task<IReadOnlyList<InstanceRow>> ListAsync(SqlSession session, string organizationId) =>
        session.ListAsync<InstanceRow>(Select + " ORDER BY i.id", new { organizationId });

    /// <summary>Those of them that go by one of these ids or names, oldest first.</summary>
    public Task<IReadOnlyList<InstanceRow>> NamedAsync(SqlSession session, string organizationId, IReadOnlyList<string> idsOrNames) =>
        session.ListAsync<InstanceRow>(Select + $" AND ({session.IsOneOf("i.id", "idsOrNames")} OR {session.IsOneOf("i.name", "idsOrNames")}) ORDER BY i.id", new { organizationId, idsOrNames = JsonSerializer.Serialize(idsOrNames) });

    /// <summary>Those of them with one of these ids, oldest first.</summary>
    public Task<IReadOnlyList<InstanceRow>> OfIdsAsync(SqlSession session, string organizationId, IReadOnlyList<string> ids) =>
        session.ListAsync<InstanceRow>(Select + $" AND {session.IsOneOf("i.id", "ids")} ORDER BY i.id", new { organizationId, ids = JsonSerializer.Serialize(ids) });

    /// <summary>
    /// Of all of them, or of those that go by one of these ids or names, what targets are matched with, oldest first. Transactions read it that others wait for: it joins and
    /// counts nothing.
    /// </summary>
    public Task<IReadOnlyList<MachineTraits>> TraitsAsync(SqlSession session, string organizationId, IReadOnlyList<string> idsOrNames) =>
        session.ListAsync<MachineTraits>($"""
            SELECT i.id, i.name, i.tags AS tags_json, i.labels AS labels_json, i.coding_agents AS coding_agents_json FROM instances i WHERE i.organization_id = @organizationId AND i.removed_at IS NULL
            {(idsOrNames.Count == 0 ? "" : $"AND ({session.IsOneOf("i.id", "idsOrNames")} OR {session.IsOneOf("i.name", "idsOrNames")})")} ORDER BY i.id
            """, new { organizationId, idsOrNames = JsonSerializer.Serialize(idsOrNames) });

    /// <param name="session">A connection or transaction.</param>
    /// <param name="organizationId">Whose.</param>
    /// <param name="tag">A valid tag that they must have, or null.</param>
    /// <param name="after">Ids after this one.</param>
    /// <param name="limit">At most so many.</param>
    public Task<IReadOnlyList<InstanceRow>> PageAsync(SqlSession session, string organizationId, string? tag, string after, int limit) =>
        session.ListAsync<InstanceRow>(
            Select + (tag is null ? "" : " AND i.tags LIKE @pattern ESCAPE '!'") + " AND i.id > @after ORDER BY i.id LIMIT @limit",
            new { organizationId, pattern = tag is null ? null : TagRules.LikePattern(tag), after, limit });

    /// <summary>One workstation of this organization by id or name; null when there is none.</summary>
    public Task<InstanceRow?> FindAsync(SqlSession session, string organizationId, string idOrName) =>
        session.FirstAsync<InstanceRow>(Select + (Ids.IsValid(idOrName, Ids.Instance) ? " AND i.id = @idOrName" : " AND i.name = @idOrName"),
            new { organizationId, idOrName });

    /// <summary>Ids of the workstations that were registered with this grant.</summary>
    public Task<IReadOnlyList<string>> OfGrantAsync(SqlSession session, string grantId) =>
        session.ListAsync<string>("SELECT id FROM instances WHERE grant_id = @grantId AND removed_at IS NULL ORDER BY id", new { grantId });

    /// <summary>Names of an organization's workstations by the grant that they were registered with.</summary>
    public async Task<ILookup<string, string>> NamesByGrantAsync(SqlSession session, string organizationId) =>
        (await session.ListAsync<NameRow>("SELECT grant_id, name FROM instances WHERE organization_id = @organizationId AND grant_id IS NOT NULL AND removed_at IS NULL ORDER BY name",
            new { organizationId })).ToLookup(row => row.GrantId, row => row.Name);

    public Task<InstanceRow?> FindByMachineAsync(SqlSession session, string organizationId, string machineId) =>
        session.FirstAsync<InstanceRow>(Select + " AND i.machine_id = @machineId", new { organizationId, machineId });

    private sealed record NameRow
    {
        public string GrantId { get; init; } = "";
        public string Name { get; init; } = "";
    }
}

/// <summary>What a workstation is chosen by.</summary>
internal sealed record MachineTraits
{
    private IReadOnlyList<string>? _tags;
    private IReadOnlyDictionary<string, string>? _labels;
    private IReadOnlyList<string>? _codingAgents;

    public string Id { get; init; } = "";
    public string Name { get; init; } = "";
    public string TagsJson { get; init; } = "[]";
    public string LabelsJson { get; init; } = "{}";
    public string CodingAgentsJson { get; init; } = "[]";

    public IReadOnlyList<string> Tags => _tags ??= TagRules.Parse(TagsJson);
    public IReadOnlyDictionary<string, string> Labels => _labels ??= JsonSerializer.Deserialize<Dictionary<string, string>>(LabelsJson) ?? [];
    public IReadOnlyList<string> CodingAgents => _codingAgents ??= JsonSerializer.Deserialize<string[]>(CodingAgentsJson) ?? [];
}
