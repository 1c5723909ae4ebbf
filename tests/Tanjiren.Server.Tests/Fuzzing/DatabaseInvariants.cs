namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>
/// What holds in the database whatever was asked of the server. Each is a query for the rows that break it, the same on both databases; the first column
/// of a row names the culprit.
/// </summary>
internal static class DatabaseInvariants
{
    public static readonly (string Name, string Sql)[] All =
    [
        ("active_steps counts what runs", Counter("active_steps", "state = 'running'")),
        ("open_steps counts what has not ended", Counter("open_steps", "state IN ('queued', 'running')")),
        ("failed_steps counts failures", Counter("failed_steps", "state = 'failed'")),
        ("cancelled_steps counts what an operator cancelled", Counter("cancelled_steps", "state = 'cancelled' AND coalesce(reason, '') <> 'rolloutStopped'")),
        ("an execution has steps, unless its task is planned or ended there", """
            SELECT e.id FROM executions e JOIN tasks t ON t.id = e.task_id WHERE NOT EXISTS (SELECT 1 FROM steps s WHERE s.execution_id = e.id)
              AND (t.state NOT IN ('planned', 'failed', 'cancelled') OR NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = t.id))
            """),
        ("a planned task has no steps and waits for an answer", """
            SELECT id FROM tasks t WHERE t.state = 'planned' AND (t.approval_status <> 'pending' OR EXISTS (SELECT 1 FROM steps s WHERE s.task_id = t.id)
              OR NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = t.id AND a.state = 'pending'))
            """),
        ("what is queued and needs an approval has one for just this", """
            SELECT id FROM tasks t WHERE t.state = 'queued' AND t.approval_class <> 'none'
              AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = t.id AND a.state = 'approved' AND a.action_hash = t.action_hash AND a.decided_by IS NOT NULL
                AND a.class IN (t.approval_class, 'production_mutation'))
            """),
        ("nothing that needs an approval started without one", """
            SELECT s.id FROM steps s JOIN tasks t ON t.id = s.task_id WHERE (s.state = 'running' OR s.completed_generation IS NOT NULL) AND s.approval_from > 0
              AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = s.task_id AND a.state = 'consumed' AND a.action_hash = t.action_hash AND a.number >= s.approval_from)
            """),
        ("what has ended asks for nothing", """
            SELECT a.id FROM approvals a JOIN tasks t ON t.id = a.task_id WHERE t.ended_at IS NOT NULL AND a.state IN ('pending', 'approved')
            """),
        ("an approval is of its task's organization, and its answer in the audit log", """
            SELECT a.id FROM approvals a JOIN tasks t ON t.id = a.task_id WHERE a.organization_id <> t.organization_id OR a.decided_by IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM audit_events v WHERE v.organization_id = a.organization_id AND v.subject = a.task_id AND v.actor = a.decided_by
                AND v.action IN ('task.approved', 'task.self_approved', 'task.rejected') AND v.detail LIKE '%' || a.id || '%')
              AND NOT EXISTS (SELECT 1 FROM audit_events v JOIN approvals f ON f.id = a.inherited_from WHERE v.organization_id = a.organization_id AND v.subject = a.task_id
                AND v.action = 'task.approval_inherited' AND v.detail LIKE '%' || a.id || '%' AND f.state = 'consumed' AND f.action_hash = a.action_hash AND f.decided_by = a.decided_by)
            """),
        ("a secret is kept for a task that names it", """
            SELECT s.task_id FROM task_secrets s JOIN tasks t ON t.id = s.task_id WHERE t.spec NOT LIKE '%"secrets":{%' OR t.spec NOT LIKE '%"' || s.name || '":""%'
            """),
        ("a task that names secrets has them", """
            SELECT id FROM tasks t WHERE t.spec LIKE '%"secrets":{%' AND NOT EXISTS (SELECT 1 FROM task_secrets s WHERE s.task_id = t.id)
            """),
        ("a task has one execution", "SELECT id FROM tasks t WHERE (SELECT count(*) FROM executions e WHERE e.task_id = t.id) <> 1"),
        ("max_parallel is kept", "SELECT id FROM executions e WHERE max_parallel > 0 AND (SELECT count(*) FROM steps s WHERE s.execution_id = e.id AND s.state = 'running') > max_parallel"),

        ("a task has ended exactly when its steps have", """
            SELECT id FROM tasks t WHERE (t.state IN ('completed', 'failed', 'cancelled'))
              <> (t.state <> 'planned' AND NOT EXISTS (SELECT 1 FROM steps s WHERE s.task_id = t.id AND s.state IN ('queued', 'running')))
            """),
        ("a task ends as its steps did", """
            SELECT t.id FROM tasks t JOIN executions e ON e.task_id = t.id WHERE t.ended_at IS NOT NULL AND EXISTS (SELECT 1 FROM steps s WHERE s.task_id = t.id)
              AND t.state <> CASE WHEN e.cancelled_steps > 0 THEN 'cancelled' WHEN e.failed_steps > 0 THEN 'failed' ELSE 'completed' END
            """),
        ("a task is queued until a step was claimed", """
            SELECT id FROM tasks t WHERE t.state = 'queued' AND EXISTS (SELECT 1 FROM steps s JOIN step_claims c ON c.step_id = s.id WHERE s.task_id = t.id)
            """),
        ("what has ended tells when and how", "SELECT id FROM steps WHERE state IN ('succeeded', 'failed', 'cancelled') AND (ended_at IS NULL OR outcome IS NULL)"),
        ("the outcome fits the state", """
            SELECT id FROM steps WHERE outcome IS NOT NULL AND outcome <> CASE state WHEN 'succeeded' THEN 'SUCCEEDED' WHEN 'failed' THEN 'FAILED' ELSE 'CANCELLED' END
            """),

        ("what runs has a lease with holder, session, deadline and claim", """
            SELECT id FROM steps s WHERE state = 'running' AND (lease_state NOT IN ('held', 'stale') OR lease_session IS NULL OR lease_expires_at IS NULL OR deadline_at IS NULL
              OR NOT EXISTS (SELECT 1 FROM step_claims c WHERE c.step_id = s.id AND c.generation = s.lease_generation AND c.instance_id = s.lease_holder))
            """),
        ("what does not run has no lease", "SELECT id FROM steps WHERE state <> 'running' AND (lease_state NOT IN ('free', 'released') OR lease_holder IS NOT NULL OR lease_session IS NOT NULL)"),
        ("a lease's session is its holder's", "SELECT s.id FROM steps s JOIN instance_sessions i ON i.id = s.lease_session WHERE i.instance_id <> s.lease_holder"),
        ("a generation is never below a claim's", "SELECT s.id FROM steps s JOIN step_claims c ON c.step_id = s.id WHERE s.lease_generation < c.generation"),
        ("a generation rises at each end of a lease", """
            SELECT s.id FROM steps s JOIN step_claims c ON c.step_id = s.id WHERE s.state <> 'running' AND s.lease_generation <= c.generation
            """),
        ("attempts counts claims", "SELECT id FROM steps s WHERE attempts <> (SELECT count(*) FROM step_claims c WHERE c.step_id = s.id)"),
        ("what was completed was claimed under that generation", """
            SELECT id FROM steps s WHERE completed_generation IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM step_claims c WHERE c.step_id = s.id AND c.generation = s.completed_generation)
            """),

        ("a log has no holes", "SELECT step_id FROM step_logs GROUP BY step_id, generation HAVING min(seq) <> 1 OR max(seq) <> count(*)"),
        ("a claim knows its log", """
            SELECT c.step_id FROM step_claims c LEFT JOIN (SELECT step_id, generation, max(seq) AS seq, sum(length(data)) AS bytes FROM step_logs GROUP BY step_id, generation) l
              ON l.step_id = c.step_id AND l.generation = c.generation WHERE c.log_seq <> coalesce(l.seq, 0) OR c.log_bytes <> coalesce(l.bytes, 0)
            """),
        ("a log belongs to a claim", """
            SELECT l.step_id FROM step_logs l LEFT JOIN step_claims c ON c.step_id = l.step_id AND c.generation = l.generation WHERE c.step_id IS NULL
            """),
        ("the events of a task are numbered without holes", """
            SELECT e.task_id FROM executions e JOIN (SELECT task_id, event_seq FROM step_events UNION ALL SELECT task_id, event_seq FROM step_logs) n ON n.task_id = e.task_id
              GROUP BY e.task_id, e.event_seq HAVING min(n.event_seq) <> 1 OR max(n.event_seq) <> e.event_seq OR count(*) <> e.event_seq OR count(DISTINCT n.event_seq) <> e.event_seq
            """),

        ("an execution belongs to its task's organization", "SELECT e.id FROM executions e JOIN tasks t ON t.id = e.task_id WHERE e.organization_id <> t.organization_id"),
        ("a step belongs to its task", """
            SELECT s.id FROM steps s JOIN executions e ON e.id = s.execution_id WHERE s.organization_id <> e.organization_id OR s.task_id <> e.task_id
            """),
        ("a step's target is of its organization", "SELECT s.id FROM steps s JOIN instances i ON i.id = s.target_instance_id WHERE i.organization_id <> s.organization_id"),
        ("a step's selector is of its organization", "SELECT s.id FROM steps s JOIN selectors x ON x.id = s.selector_id WHERE x.organization_id <> s.organization_id"),
        ("who claimed a step is of its organization", """
            SELECT s.id FROM steps s JOIN step_claims c ON c.step_id = s.id JOIN instances i ON i.id = c.instance_id WHERE i.organization_id <> s.organization_id
            """),
        ("whose session claimed it is the same workstation", "SELECT c.step_id FROM step_claims c JOIN instance_sessions i ON i.id = c.session_id WHERE i.instance_id <> c.instance_id"),
        ("who made a task was a member or is recorded", """
            SELECT t.id FROM tasks t WHERE NOT EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = t.organization_id AND m.user_id = t.created_by)
              AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.organization_id = t.organization_id AND a.subject = t.created_by AND a.action IN ('member.removed', 'member.left'))
            """),
        ("who holds a credential that works is a member", """
            SELECT c.id FROM credentials c WHERE c.revoked_at IS NULL
              AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = c.organization_id AND m.user_id = c.user_id)
            """),
        ("one owner of each organization", "SELECT id FROM organizations o WHERE (SELECT count(*) FROM memberships m WHERE m.organization_id = o.id AND m.role = 'owner') <> 1"),
        ("whoever came in is a member until they go", """
            SELECT user_id FROM (SELECT organization_id, CASE WHEN action LIKE 'member.%' THEN subject ELSE actor END AS user_id,
                sum(CASE WHEN action IN ('member.removed', 'member.left') THEN -1 ELSE 1 END) AS stays
              FROM audit_events WHERE action IN ('organization.created', 'member.added', 'invitation.accepted', 'member.removed', 'member.left') GROUP BY 1, 2) l
            WHERE stays <> (SELECT count(*) FROM memberships m WHERE m.organization_id = l.organization_id AND m.user_id = l.user_id)
            """),

        ("every organization has a doctrine, its versions are numbered without holes", """
            SELECT id FROM organizations o WHERE (SELECT count(*) FROM doctrine_versions d WHERE d.organization_id = o.id AND d.version >= 1)
              <> coalesce((SELECT max(version) FROM doctrine_versions d WHERE d.organization_id = o.id), -1)
            """),
        ("each version of a doctrine is in the audit log with its author", """
            SELECT organization_id FROM doctrine_versions d WHERE d.version > 1 AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.organization_id = d.organization_id
              AND a.subject = d.organization_id AND a.action = 'doctrine.changed' AND a.actor = d.created_by AND a.detail LIKE 'version ' || d.version || ',%')
            """),

        ("each invitation is in the audit log", """
            SELECT id FROM invitations i WHERE NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = i.id AND a.action = 'invitation.created' AND a.actor = i.created_by
              AND a.organization_id = i.organization_id)
            """),
        ("an invitation is accepted once, by who is recorded", """
            SELECT id FROM invitations i WHERE (SELECT count(*) FROM audit_events a WHERE a.subject = i.id AND a.action = 'invitation.accepted')
              <> (SELECT count(*) FROM audit_events a WHERE a.subject = i.id AND a.action = 'invitation.accepted' AND a.actor = i.accepted_by AND a.organization_id = i.organization_id)
              OR (SELECT count(*) FROM audit_events a WHERE a.subject = i.id AND a.action = 'invitation.accepted') <> CASE WHEN i.accepted_at IS NULL THEN 0 ELSE 1 END
            """),
        ("who came in by an invitation is a member or has gone", """
            SELECT id FROM invitations i WHERE accepted_by IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = i.organization_id AND m.user_id = i.accepted_by)
              AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.organization_id = i.organization_id AND a.subject = i.accepted_by AND a.action IN ('member.removed', 'member.left'))
            """),
        ("an invitation for an address was accepted by it", "SELECT i.id FROM invitations i JOIN users u ON u.id = i.accepted_by WHERE i.email IS NOT NULL AND i.email <> u.email"),
        ("a revoked invitation is in the audit log once", """
            SELECT id FROM invitations i WHERE (SELECT count(*) FROM audit_events a WHERE a.subject = i.id AND a.action = 'invitation.revoked')
              <> CASE WHEN i.revoked_at IS NULL THEN 0 ELSE 1 END
            """),
        ("whose invitation is open may still invite", """
            SELECT id FROM invitations i WHERE accepted_at IS NULL AND revoked_at IS NULL AND expires_at > tanjiren_now()
              AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = i.organization_id AND m.user_id = i.created_by AND m.role IN ('admin', 'owner'))
            """),

        ("a sign-in was approved once, by its person", """
            SELECT id FROM oauth_grants g WHERE (SELECT count(*) FROM audit_events a WHERE a.subject = g.id AND a.action = 'oauth.device_approved' AND a.actor = g.user_id
              AND a.organization_id = g.organization_id) <> 1 OR (SELECT count(*) FROM oauth_device_codes d WHERE d.grant_id = g.id AND d.state = 'approved') <> 1
            """),
        ("the end of a sign-in is in the audit log once, with its reason", """
            SELECT id FROM oauth_grants g WHERE (SELECT count(*) FROM audit_events a WHERE a.subject = g.id AND a.organization_id = g.organization_id
              AND a.action = CASE g.revoke_reason WHEN 'refresh_reused' THEN 'oauth.refresh_reused' ELSE 'oauth.revoked' END) <> CASE WHEN g.revoked_at IS NULL THEN 0 ELSE 1 END
              OR (SELECT count(*) FROM audit_events a WHERE a.subject = g.id AND a.action IN ('oauth.refresh_reused', 'oauth.revoked')) > 1
            """),
        ("each denied device is in the audit log", """
            SELECT 'all' FROM organizations WHERE (SELECT count(*) FROM oauth_device_codes WHERE state = 'denied') <> (SELECT count(*) FROM audit_events WHERE action = 'oauth.device_denied')
            """),
        ("whose sign-in has not ended is a member", """
            SELECT id FROM oauth_grants g WHERE revoked_at IS NULL
              AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = g.organization_id AND m.user_id = g.user_id)
            """),
        ("the refresh tokens of a sign-in are numbered without holes, and its newest is the one that is good", """
            SELECT id FROM oauth_grants g LEFT JOIN (SELECT grant_id, min(number) AS first, max(number) AS last, count(*) AS tokens FROM oauth_refresh_tokens GROUP BY grant_id) t ON t.grant_id = g.id
              WHERE g.refresh_newest <> coalesce(t.last, 0) OR g.refresh_newest <> coalesce(t.tokens, 0) OR coalesce(t.first, 1) <> 1 OR g.refresh_parent >= g.refresh_newest
            """),
        ("each exchange gave one access token", "SELECT id FROM oauth_grants g WHERE g.refresh_newest <> (SELECT count(*) FROM credentials c WHERE c.grant_id = g.id)"),
        ("an access token acts for its sign-in's person in its organization", """
            SELECT c.id FROM credentials c JOIN oauth_grants g ON g.id = c.grant_id WHERE c.user_id <> g.user_id OR c.organization_id <> g.organization_id
            """),
        ("a sign-in that has ended was given nothing afterwards", """
            SELECT g.id FROM oauth_grants g WHERE g.rotated_at > g.revoked_at OR EXISTS (SELECT 1 FROM credentials c WHERE c.grant_id = g.id AND c.created_at > g.revoked_at)
            """),
        ("a workstation stands on a sign-in of its organization", "SELECT i.id FROM instances i JOIN oauth_grants g ON g.id = i.grant_id WHERE i.organization_id <> g.organization_id"),

        ("one open session of a workstation", "SELECT instance_id FROM instance_sessions WHERE ended_at IS NULL GROUP BY instance_id HAVING count(*) > 1"),
        ("a removed workstation has no key and no session", """
            SELECT i.id FROM instances i WHERE i.removed_at IS NOT NULL AND (EXISTS (SELECT 1 FROM instance_keys k WHERE k.instance_id = i.id AND k.revoked_at IS NULL)
              OR EXISTS (SELECT 1 FROM instance_sessions s WHERE s.instance_id = i.id AND s.ended_at IS NULL))
            """),
        ("a bound key came with a code, or by a change that an admin approved", """
            SELECT k.id FROM instance_keys k WHERE NOT EXISTS (SELECT 1 FROM pairing_codes c WHERE c.instance_id = k.instance_id AND c.used_jkt = k.jkt AND c.kind = 'pairing')
              AND NOT EXISTS (SELECT 1 FROM key_rotations r WHERE r.instance_id = k.instance_id AND r.new_jkt = k.jkt AND r.state = 'approved')
            """),
        ("an approved change of a key has happened, and is in the audit log with its admin", """
            SELECT r.id FROM key_rotations r WHERE r.state = 'approved' AND (r.decided_at IS NULL
              OR NOT EXISTS (SELECT 1 FROM instance_keys k WHERE k.instance_id = r.instance_id AND k.jkt = r.new_jkt)
              OR NOT EXISTS (SELECT 1 FROM instance_keys k WHERE k.instance_id = r.instance_id AND k.jkt = r.old_jkt AND k.revoked_at IS NOT NULL AND k.rotated = CASE r.kind WHEN 'rotation' THEN 1 ELSE 0 END)
              OR NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = r.instance_id AND a.organization_id = r.organization_id AND a.actor = r.decided_by
                AND a.action IN ('workstation.key_rotated', 'workstation.key_recovered') AND a.detail LIKE r.id || ':%'))
            """),
        ("the changes of a workstation's key are numbered without holes, each from the key of the one before", """
            SELECT r.id FROM key_rotations r WHERE r.state = 'approved' AND (r.number > (SELECT count(*) FROM key_rotations n WHERE n.instance_id = r.instance_id AND n.state = 'approved')
              OR r.number > 1 AND NOT EXISTS (SELECT 1 FROM key_rotations p WHERE p.instance_id = r.instance_id AND p.number = r.number - 1 AND p.new_jkt = r.old_jkt))
            """),
        ("a request for another key is of its workstation's organization, and waits for one that is there", """
            SELECT r.id FROM key_rotations r JOIN instances i ON i.id = r.instance_id WHERE r.organization_id <> i.organization_id OR r.state = 'pending' AND (i.removed_at IS NOT NULL
              OR NOT EXISTS (SELECT 1 FROM instance_keys k WHERE k.instance_id = i.id AND k.jkt = r.old_jkt AND k.revoked_at IS NULL))
            """),

        ("each task is in the audit log", Audited("tasks", "task.created")),
        ("each workstation is in the audit log", Audited("instances", "workstation.created")),
        ("each organization is in the audit log", """
            SELECT id FROM organizations o WHERE NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = o.id AND a.action = 'organization.created' AND a.organization_id = o.id)
            """),
        ("each credential is in the audit log", """
            SELECT id FROM credentials c WHERE c.name <> 'up' AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = coalesce(c.grant_id, c.id) AND a.actor = c.user_id
              AND a.organization_id = c.organization_id AND a.action = CASE c.kind WHEN 'session' THEN 'identity.signed_in' WHEN 'oauth' THEN 'oauth.device_approved' ELSE 'token.created' END)
            """),
        ("each membership is in the audit log", """
            SELECT m.user_id FROM memberships m WHERE NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.organization_id = m.organization_id
              AND (a.action = 'member.added' AND a.subject = m.user_id OR a.action IN ('organization.created', 'invitation.accepted') AND a.actor = m.user_id))
            """),
        ("each bound key is in the audit log", """
            SELECT k.id FROM instance_keys k JOIN instances i ON i.id = k.instance_id WHERE NOT EXISTS (SELECT 1 FROM audit_events a
              WHERE a.organization_id = i.organization_id AND a.subject = i.id AND a.action IN ('workstation.paired', 'workstation.key_rotated', 'workstation.key_recovered')
                AND a.detail LIKE 'key ' || k.jkt || '%' OR a.subject = i.id AND a.detail LIKE '%: key ' || k.jkt || ' for %')
            """),
        ("each removal is in the audit log", "SELECT id FROM instances i WHERE removed_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = i.id AND a.action = 'workstation.removed')"),
        ("each cancel is in the audit log", "SELECT id FROM tasks t WHERE cancel_requested_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = t.id AND a.action = 'task.cancel')"),
        ("the chain of an organization is numbered without holes up to its head", """
            SELECT c.chain FROM audit_chains c WHERE c.head_seq - c.start_seq <>
              (SELECT count(DISTINCT e.chain_seq) FROM audit_events e WHERE coalesce(e.organization_id, 'server') = c.chain AND e.chain_seq BETWEEN c.start_seq + 1 AND c.head_seq)
            """),
        ("a sealed row stands on the one before it", """
            SELECT e.id FROM audit_events e JOIN audit_events p ON coalesce(p.organization_id, 'server') = coalesce(e.organization_id, 'server') AND p.chain_seq = e.chain_seq - 1 WHERE e.previous_hash <> p.hash
            """),
        ("the audit log tells of no task that is not there", """
            SELECT a.id FROM audit_events a WHERE a.action = 'task.created' AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = a.subject AND t.organization_id = a.organization_id)
            """),
        ("the audit log tells of no workstation that is not there", """
            SELECT a.id FROM audit_events a WHERE a.action LIKE 'workstation.%' AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.id = a.subject AND i.organization_id = a.organization_id)
            """),
        ("an idempotency key names what was made", """
            SELECT k.idempotency_key FROM idempotency_keys k WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = k.resource_id AND t.organization_id = k.organization_id)
              AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.id = k.resource_id AND i.organization_id = k.organization_id)
              AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = k.resource_id AND a.organization_id = k.organization_id AND a.action LIKE '%.created')
            """),

        ("each webhook is in the audit log", """
            SELECT w.organization_id FROM webhooks w WHERE NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.organization_id = w.organization_id AND a.actor = w.updated_by AND a.action = 'webhook.set')
            """),
        ("a message is of an approval of its organization, or a test that somebody asked for", """
            SELECT d.id FROM webhook_deliveries d WHERE CASE WHEN d.event = 'webhook.test'
              THEN NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.organization_id = d.organization_id AND a.action = 'webhook.tested' AND a.detail = d.id)
              ELSE NOT EXISTS (SELECT 1 FROM approvals a WHERE a.organization_id = d.organization_id AND a.id = d.approval_id) END
            """),
        ("each schedule is in the audit log", Audited("schedules", "schedule.created")),
        ("a schedule knows its next tick, and one that is past was dealt with", "SELECT id FROM schedules WHERE (next_run_at IS NULL) <> (paused_at IS NOT NULL) OR next_run_at <= last_tick_at"),
        ("an attempt follows one that failed or was cancelled, in the same organization", """
            SELECT n.id FROM tasks n JOIN tasks o ON o.id = n.retry_of_task_id
            WHERE o.state NOT IN ('failed', 'cancelled') OR n.organization_id <> o.organization_id OR n.attempt <> o.attempt + 1 OR n.root_task_id <> coalesce(o.root_task_id, o.id)
            """),
        ("a pending attempt is of a task that failed and has none", """
            SELECT r.task_id FROM retries r JOIN tasks t ON t.id = r.task_id
            WHERE t.state <> 'failed' OR t.organization_id <> r.organization_id OR EXISTS (SELECT 1 FROM tasks n WHERE n.retry_of_task_id = t.id)
            """),

        ("each investigation is in the audit log", Audited("investigations", "investigation.created")),
        ("each runbook is in the audit log", Audited("runbooks", "runbook.created")),
        ("each prompt is in the audit log", Audited("prompts", "prompt.created")),
        ("each artifact that somebody made is in the audit log", Audited("artifacts", "artifact.created") + " AND created_by IS NOT NULL AND created_by NOT IN (SELECT id FROM instances)"),
        ("an artifact that a workstation made is an answer", """
            SELECT x.id FROM artifacts x JOIN tasks t ON t.id = x.task_id WHERE x.created_by IN (SELECT id FROM instances) AND NOT EXISTS (SELECT 1 FROM step_answers a WHERE a.artifact_id = x.id)
            """),
        ("an answer belongs to a claim, and its artifact to its task", """
            SELECT a.step_id FROM step_answers a JOIN steps s ON s.id = a.step_id LEFT JOIN step_claims c ON c.step_id = a.step_id AND c.generation = a.generation
            WHERE c.step_id IS NULL OR EXISTS (SELECT 1 FROM artifacts x WHERE x.id = a.artifact_id AND (x.task_id <> s.task_id OR x.kind <> 'note' OR x.created_by <> c.instance_id))
            """),
        ("each change of a record is in the audit log, once for each version", """
            SELECT id FROM (SELECT id, version FROM investigations UNION ALL SELECT id, version FROM runbooks UNION ALL SELECT id, version FROM prompts) r
            WHERE version <> (SELECT count(*) FROM audit_events a WHERE a.subject = r.id)
            """),
        ("a task that has ended is summed up once, unless somebody deleted that", """
            SELECT id FROM tasks t WHERE ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.task_id = t.id AND a.kind = 'summary')
              AND NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.organization_id = t.organization_id AND e.action = 'artifact.deleted' AND e.detail LIKE 'summary of ' || t.id || ':%')
              OR ended_at IS NULL AND EXISTS (SELECT 1 FROM artifacts a WHERE a.task_id = t.id AND a.kind = 'summary')
            """),
        ("an artifact belongs to its task's organization and investigation", """
            SELECT a.id FROM artifacts a JOIN tasks t ON t.id = a.task_id WHERE a.organization_id <> t.organization_id
              OR coalesce(a.investigation_id, '') <> coalesce(t.investigation_id, '')
            """),
        ("an artifact's investigation is of its organization", "SELECT a.id FROM artifacts a JOIN investigations i ON i.id = a.investigation_id WHERE i.organization_id <> a.organization_id"),
        ("an artifact tells its size", "SELECT id FROM artifacts WHERE content IS NOT NULL AND size_bytes <> length(content)"),
        ("a task's investigation is there and of its organization", """
            SELECT t.id FROM tasks t WHERE t.investigation_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM investigations i WHERE i.id = t.investigation_id AND i.organization_id = t.organization_id)
            """),
        ("what waits for an answer is asked by a step that runs under the same lease", """
            SELECT p.id FROM permissions p WHERE p.state = 'pending'
              AND NOT EXISTS (SELECT 1 FROM steps s WHERE s.id = p.step_id AND s.state = 'running' AND s.lease_generation = p.generation AND s.cancel_requested_at IS NULL)
            """),
        ("a question is of its step's task and organization", """
            SELECT p.id FROM permissions p JOIN steps s ON s.id = p.step_id WHERE s.task_id <> p.task_id OR s.organization_id <> p.organization_id
            """),
        ("each answer of a person is in the audit log", """
            SELECT p.id FROM permissions p WHERE p.answered_by IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = p.task_id AND a.actor = p.answered_by
              AND a.organization_id = p.organization_id AND a.action = CASE WHEN p.verdict = 'allow' THEN 'permission.allowed' ELSE 'permission.denied' END)
            """),
        ("a task's runbook was of its organization", """
            SELECT t.id FROM tasks t WHERE t.runbook_id IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = t.runbook_id AND a.action = 'runbook.created' AND a.organization_id = t.organization_id)
            """),
    ];

    /// <summary>Those that do not hold, each with some of the rows.</summary>
    public static async Task<IReadOnlyList<string>> BrokenAsync(ServerFixture server)
    {
        // The product never asks in these ways; after a long run each would take minutes without.
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("""
            CREATE INDEX IF NOT EXISTS checked_steps ON steps (execution_id);
            CREATE INDEX IF NOT EXISTS checked_audit ON audit_events (subject, action);
            ANALYZE;
            """), TestContext.Current.CancellationToken);
        var broken = new List<string>();
        foreach (var (name, sql) in All)
        {
            var rows = await server.Database.ReadAsync(s => s.ListAsync<string>(sql), TestContext.Current.CancellationToken);
            if (rows.Count > 0) broken.Add($"not so: {name}: {rows.Count} rows, as {string.Join(", ", rows.Take(3))}");
        }
        return broken;
    }

    private static string Counter(string column, string condition) =>
        $"SELECT id FROM executions e WHERE {column} <> (SELECT count(*) FROM steps s WHERE s.execution_id = e.id AND {condition})";

    private static string Audited(string table, string action) =>
        $"SELECT id FROM {table} x WHERE NOT EXISTS (SELECT 1 FROM audit_events a WHERE a.subject = x.id AND a.action = '{action}' AND a.organization_id = x.organization_id)";
}
