using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Prompts;

/// <summary>Saved prompts: reads, makes, changes and deletes them; each change one transaction with its audit row. Each is named by id or by name.</summary>
internal sealed class PromptService(Database database, RecordMaker maker, AuditLog audit, TimeProvider clock)
{
    private const string Select = "SELECT id, name, text, tags, version, created_by, created_at, updated_at FROM prompts WHERE organization_id = @OrganizationId";

    public Task<PromptRow?> FindAsync(Caller caller, string idOrName, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => FindAsync(sql, caller, idOrName), cancellationToken);

    /// <summary>Oldest first. <paramref name="tag"/>: a valid tag that they must have, or null.</summary>
    public Task<IReadOnlyList<PromptRow>> ListAsync(Caller caller, string? tag, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => sql.ListAsync<PromptRow>(
            Select + (tag is null ? "" : " AND tags LIKE @pattern ESCAPE '!'") + " AND id > @after ORDER BY id LIMIT @limit",
            new { caller.OrganizationId, pattern = tag is null ? null : TagRules.LikePattern(tag), after, limit }), cancellationToken);

    public Task<RecordResult<PromptRow>> CreateAsync(Caller caller, string name, CreatePromptRequest request, IdempotencyKey? key, CancellationToken cancellationToken) =>
        maker.MakeAsync(caller, key, Ids.Prompt, (tx, id) => FindAsync(tx, caller, id), async (tx, id) =>
        {
            var made = await tx.ExecuteAsync("""
                INSERT INTO prompts (id, organization_id, name, text, tags, version, created_by, created_at, updated_at)
                VALUES (@id, @OrganizationId, @name, @Text, @tags, 1, @UserId, @now, @now) ON CONFLICT (organization_id, name) DO NOTHING
                """, new { id, caller.OrganizationId, name, request.Text, tags = TagRules.Format(request.Tags ?? []), caller.UserId, now = NowMs() });
            if (made == 0) return RecordProblems.NameTaken("prompt", name);
            await audit.AppendAsync(tx, caller, "prompt.created", id, name);
            return null;
        }, cancellationToken);

    public async Task<RecordResult<PromptRow>> UpdateAsync(Caller caller, string idOrName, UpdatePromptRequest request, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync<RecordResult<PromptRow>>(async tx =>
            {
                if (await FindAsync(tx, caller, idOrName) is not { } row) return Missing(idOrName);
                if (row.Version != request.Version) return RecordProblems.Stale("prompt", row.Version);
                var change = new
                {
                    row.Id, caller.OrganizationId, row.Version, now = NowMs(), name = request.Name?.Trim() ?? row.Name, text = request.Text ?? row.Text,
                    tags = request.Tags is null ? row.Tags : TagRules.Format(request.Tags),
                };
                // The version guards it: of two who read the same one, the later changes nothing.
                var changed = await tx.ExecuteAsync("""
                    UPDATE prompts SET name = @name, text = @text, tags = @tags, updated_at = @now, version = version + 1
                    WHERE id = @Id AND organization_id = @OrganizationId AND version = @Version
                    """, change);
                if (changed == 0) return await FindAsync(tx, caller, row.Id) is { } newer ? RecordProblems.Stale("prompt", newer.Version) : Missing(idOrName);
                await audit.AppendAsync(tx, caller, "prompt.updated", row.Id, change.name);
                return (await FindAsync(tx, caller, row.Id))!;
            }, cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            return RecordProblems.NameTaken("prompt", request.Name!.Trim());
        }
    }

    public Task<Problem?> DeleteAsync(Caller caller, string idOrName, CancellationToken cancellationToken) => database.WriteAsync<Problem?>(async tx =>
    {
        if (await FindAsync(tx, caller, idOrName) is not { } row) return Missing(idOrName);
        if (RecordProblems.NotYours(caller, "prompt", row.CreatedBy) is { } refusal) return refusal;
        if (await tx.ExecuteAsync("DELETE FROM prompts WHERE id = @Id AND organization_id = @OrganizationId", new { row.Id, caller.OrganizationId }) == 0) return Missing(idOrName);
        await audit.AppendAsync(tx, caller, "prompt.deleted", row.Id, row.Name);
        return null;
    }, cancellationToken);

    public static Problem Missing(string idOrName) => Problem.NotFound("prompt", idOrName);

    private static Task<PromptRow?> FindAsync(SqlSession sql, Caller caller, string idOrName) =>
        sql.FirstAsync<PromptRow>(Select + (Ids.IsValid(idOrName, Ids.Prompt) ? " AND id = @idOrName" : " AND name = @idOrName"), new { caller.OrganizationId, idOrName });

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();
}
