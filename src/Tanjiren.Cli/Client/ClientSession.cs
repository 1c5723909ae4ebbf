using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Client;

/// <summary>What a client command works with: one connection, and the routes on it.</summary>
internal sealed class ClientSession : IDisposable
{
    public ClientSession(CliContext cli, ServerAccess access)
    {
        Api = new ApiClient(access, access.Renewable ? new TokenKeeper(cli, access.Workspace) : null, cli.Timeouts, cli.Clock);
        Tasks = new TaskApi(Api, cli.Timeouts, cli.Clock);
        Approvals = new ApprovalApi(Api);
        Permissions = new PermissionApi(Api);
        Instances = new InstanceApi(Api);
        Workers = new WorkerApi(Api);
        Organizations = new OrganizationApi(Api);
        Doctrine = new DoctrineApi(Api, Organizations);
        Grants = new GrantApi(Api);
        Schedules = new ScheduleApi(Api);
        Audit = new AuditApi(Api);
        Artifacts = new ArtifactApi(Api);
        Investigations = new InvestigationApi(Api);
        Runbooks = new RunbookApi(Api);
        Prompts = new PromptApi(Api);
        Webhook = new WebhookApi(Api, Organizations);
    }

    public ApiClient Api { get; }
    public TaskApi Tasks { get; }
    public ApprovalApi Approvals { get; }
    public PermissionApi Permissions { get; }
    public InstanceApi Instances { get; }
    public WorkerApi Workers { get; }
    public OrganizationApi Organizations { get; }
    public DoctrineApi Doctrine { get; }
    public GrantApi Grants { get; }
    public ScheduleApi Schedules { get; }
    public AuditApi Audit { get; }
    public ArtifactApi Artifacts { get; }
    public InvestigationApi Investigations { get; }
    public RunbookApi Runbooks { get; }
    public PromptApi Prompts { get; }
    public WebhookApi Webhook { get; }

    public static ClientSession Open(CliContext cli, ServerFlags flags) =>
        new(cli, cli.Credentials.Resolve(flags, cli.Variable));

    public void Dispose() => Api.Dispose();
}
