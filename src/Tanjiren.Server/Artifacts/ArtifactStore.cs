using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Investigations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Artifacts;

/// <summary>What artifacts are attached to: a task, or an investigation.</summary>
internal readonly record struct ArtifactPlace(string? TaskId, string? InvestigationId)
{
    public Problem Missing() => TaskId is not null ? Problem.NotFound("task", TaskId) : InvestigationService.Missing(InvestigationId!);
}

/// <summary>Attaches, reads and deletes artifacts, within one organization. Nothing changes one: what was found stays as it was found.</summary>
internal sealed class ArtifactStore(Database database, InvestigationDirectory investigations, RecordMaker maker, AuditLog audit, TimeProvider clock)
{
    private const string Columns = "id, task_id, task_intent, investigation_id, kind, title, url, file_name, media_type, size_bytes, sha256, created_by, created_at";

    public static Task<bool> AnyInInvestigationAsync(SqlSession sql, string organizationId, string investigationId) =>
        sql.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM artifacts WHERE investigation_id = @investigationId AND organization_id = @organizationId)", new { investigationId, organizationId });

    public Task<RecordResult<ArtifactRow>> AddAsync(Caller caller, ArtifactPlace place, ArtifactDraft draft, IdempotencyKey? key, CancellationToken cancellationToken) =>
        maker.MakeAsync(caller, key, Ids.Artifact, (tx, id) => FindAsync(tx, caller.OrganizationId, id), async (tx, id) =>
        {
            var task = place.TaskId is null ? null : await TaskStore.FindRowAsync(tx, caller.OrganizationId, place.TaskId);
            // Held, so that the investigation is not deleted meanwhile.
            var investigation = place.InvestigationId is null ? null : await investigations.LockToJoinAsync(tx, caller.OrganizationId, place.InvestigationId);
            if (task is null && investigation is null) return place.Missing();
            await tx.ExecuteAsync("""
                INSERT INTO artifacts (id, organization_id, task_id, task_intent, investigation_id, kind, title, url, file_name, media_type, size_bytes, sha256, created_by,
                  created_at, content)
                VALUES (@id, @OrganizationId, @taskId, @intent, @investigationId, @kind, @Title, @Url, @FileName, @MediaType, @size, @Sha256, @UserId, @now, @Content)
                """,
                new
                {
                    id, caller.OrganizationId, taskId = task?.Id, intent = task?.Intent, investigationId = investigation?.Id ?? task!.InvestigationId,
                    kind = WireNames.Of(draft.Kind), draft.Title, draft.Url, draft.FileName, draft.MediaType, size = draft.Content?.LongLength, draft.Sha256,
                    caller.UserId, now = clock.GetUtcNow().ToUnixTimeMilliseconds(), draft.Content,
                });
            await audit.AppendAsync(tx, caller, "artifact.created", id, $"{WireNames.Of(draft.Kind)} of {task?.Id ?? investigation!.Id}: {draft.Title}");
            return null;
        }, cancellationToken);

    /// <summary>Oldest first; those of an investigation's tasks belong to it too. Null: there is no such place, nor anything that was attached to it when there was.</summary>
    public Task<IReadOnlyList<ArtifactRow>?> ListAsync(string organizationId, ArtifactPlace place, string after, int limit, CancellationToken cancellationToken) =>
        database.ReadAsync(async sql =>
        {
            var column = place.TaskId is not null ? "task_id" : "investigation_id";
            var rows = await sql.ListAsync<ArtifactRow>(
                $"SELECT {Columns} FROM artifacts WHERE {column} = @placeId AND organization_id = @organizationId AND id > @after ORDER BY id LIMIT @limit",
                new { placeId = place.TaskId ?? place.InvestigationId, organizationId, after, limit });
            if (rows.Count > 0) return rows;
            var isThere = place.TaskId is not null
                ? await TaskStore.FindRowAsync(sql, organizationId, place.TaskId) is not null
                : await investigations.FindAsync(sql, organizationId, place.InvestigationId!) is not null;
            // The place may have been forgotten while somebody paged through what outlives it.
            return isThere || after.Length > 0 && await sql.FirstAsync<long>($"SELECT count(*) FROM artifacts WHERE {column} = @placeId AND organization_id = @organizationId",
                new { placeId = place.TaskId ?? place.InvestigationId, organizationId }) > 0 ? rows : null;
        }, cancellationToken);

    /// <summary>With its content.</summary>
    public Task<ArtifactRow?> ReadAsync(string organizationId, string id, CancellationToken cancellationToken) => database.ReadAsync(
        sql => sql.FirstAsync<ArtifactRow>($"SELECT {Columns}, content FROM artifacts WHERE id = @id AND organization_id = @organizationId", new { id, organizationId }), cancellationToken);

    public Task<Problem?> DeleteAsync(Caller caller, string id, CancellationToken cancellationToken) => database.WriteAsync<Problem?>(async tx =>
    {
        if (await FindAsync(tx, caller.OrganizationId, id) is not { } row) return Missing(id);
        if (RecordProblems.NotYours(caller, "artifact", row.CreatedBy) is { } refusal) return refusal;
        if (await tx.ExecuteAsync("DELETE FROM artifacts WHERE id = @id AND organization_id = @OrganizationId", new { id, caller.OrganizationId }) == 0) return Missing(id);
        await audit.AppendAsync(tx, caller, "artifact.deleted", id, $"{row.Kind} of {row.TaskId ?? row.InvestigationId}: {row.Title}" + (row.Sha256 is null ? "" : $"; sha256 {row.Sha256}"));
        return null;
    }, cancellationToken);

    public static Problem Missing(string id) => Problem.NotFound("artifact", id);

    private static Task<ArtifactRow?> FindAsync(SqlSession sql, string organizationId, string id) =>
        sql.FirstAsync<ArtifactRow>($"SELECT {Columns} FROM artifacts WHERE id = @id AND organization_id = @organizationId", new { id, organizationId });
}
