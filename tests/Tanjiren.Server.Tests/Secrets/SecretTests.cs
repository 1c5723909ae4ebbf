using System.Net;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Http.TaskCalls;

namespace Tanjiren.Server.Tests.Secrets;

/// <summary>Secrets of tasks over HTTP: who is given them, that nobody else is, and what is refused.</summary>
public sealed class SecretTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_claimer_is_given_them_and_nobody_is_shown_them(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, KeyFile.Named(KeyFile.In(_directory)));
        using var agent = await server.NewAgentAsync("box");
        using var neighbour = await server.NewAgentAsync("neighbour");
        var (_, admin) = await server.NewOrganizationAsync();
        using var foreign = await server.NewAgentAsync("box of others", admin: admin);
        // A part that no encoding changes is looked for.
        var told = Guid.NewGuid().ToString("n");
        var value = "värde \"€\" " + told;

        var posted = await server.Client.PostWithKeyAsync(On("box") with { Secrets = Given(("DEPLOY_KEY", value), ("A", "x")) }, "key-1");
        var text = await posted.Content.ReadAsStringAsync(Cancelled);
        text.ShouldNotContain(told);
        var task = await posted.BodyAsync<TaskBody>();
        task.SecretNames!.ShouldBe(["A", "DEPLOY_KEY"]);
        task.Environment.ShouldBeNull();

        // Nobody but the workstation that starts it.
        foreach (var other in new[] { neighbour, foreign })
        {
            var refused = await other.TryClaimAsync(task.StepId());
            (await refused.Content.ReadAsStringAsync(Cancelled)).ShouldNotContain(told);
            await refused.ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        await admin.GetAsync("/api/tasks/" + task.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await (await agent.GetAsync("work", "waitSeconds=0&capacity=1")).Content.ReadAsStringAsync(Cancelled)).ShouldNotContain(told);

        // A lost answer comes again, with them.
        var claimId = AgentCalls.NewClaimId();
        foreach (var _ in Enumerable.Range(0, 2))
            (await (await agent.TryClaimAsync(task.StepId(), claimId)).BodyAsync<ClaimResponse>()).Secrets!.ShouldBe(Given(("DEPLOY_KEY", value), ("A", "x")), ignoreOrder: true);
        await agent.CompleteAsync(task.StepId());
        (await agent.TryClaimAsync(task.StepId(), claimId)).IsSuccessStatusCode.ShouldBeFalse("the lease has ended");

        foreach (var path in new[] { "/api/tasks/" + task.Id, "/api/tasks", $"/api/tasks/{task.Id}/events", "/api/audit-events/export", $"/api/tasks/{task.Id}/artifacts" })
            (await server.Client.GetStringAsync(path, Cancelled)).ShouldNotContain(told, customMessage: path);
        (await DumpAsync(server)).ShouldNotContain(told);
        server.Log.Lines.ShouldAllBe(line => !line.Contains(told));
        admin.Dispose();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_value_under_a_used_idempotency_key_is_another_request(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, KeyFile.Named(KeyFile.In(_directory)));
        await server.NewInstanceAsync("box");
        Task<HttpResponseMessage> PostAsync(string value) => server.Client.PostWithKeyAsync(On("box") with { Secrets = Given(("KEY", value)) }, "key-1");
        (await PostAsync("one")).StatusCode.ShouldBe(HttpStatusCode.Created);
        (await PostAsync("one")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await PostAsync("two").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.IdempotencyKeyReused);
        await server.Client.PostWithKeyAsync(On("box"), "key-1").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.IdempotencyKeyReused);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_422_names_each_and_no_value(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, KeyFile.Named(KeyFile.In(_directory)));
        await server.NewInstanceAsync("box");
        const string Value = "never-told";
        async Task<IEnumerable<string>> FieldsAsync(CreateTaskRequest request)
        {
            var answer = await server.Client.PostJsonAsync("/api/tasks", request);
            (await answer.Content.ReadAsStringAsync(Cancelled)).ShouldNotContain(Value);
            return (await answer.ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order(StringComparer.Ordinal);
        }

        (await FieldsAsync(On("box") with { Secrets = Given(("1A", Value), ("TANJIREN_X", Value), ("B", Value + "\0"), ("C", Value + new string('x', WireLimits.MaxSecretBytes)), ("D", null!)) }))
            .ShouldBe(["secrets.1A", "secrets.B", "secrets.C", "secrets.D", "secrets.TANJIREN_X"]);
        (await FieldsAsync(On("box") with { Secrets = Given(("A", Value), ("B", Value)), Environment = Given(("A", "x")), EnvironmentFromMachine = ["B"] })).ShouldBe(["secrets.A", "secrets.B"]);
        (await FieldsAsync(On("box") with { Secrets = Enumerable.Range(0, WireLimits.MaxSecrets + 1).ToDictionary(i => "S" + i, _ => Value) })).ShouldBe(["secrets"]);
        (await FieldsAsync(On("box") with { Secrets = Enumerable.Range(0, 5).ToDictionary(i => "S" + i, _ => new string('x', WireLimits.MaxSecretBytes)) })).ShouldBe(["secrets"]);
        (await FieldsAsync(new CreateTaskRequest { RunbookId = "any", Secrets = Given(("A", Value)) })).ShouldBe(["secrets"]);
        (await server.Client.PostJsonAsync("/api/schedules", new CreateScheduleRequest { Name = "s", Cron = "@daily", Task = On("box") with { Secrets = Given(("A", Value)) } })
            .ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["task.secrets"]);
        (await server.Client.CreateTaskAsync(On("box") with { Secrets = Given() })).SecretNames.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_who_gave_them_changes_what_is_run_with_them_also_in_an_attempt_that_another_made(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind, KeyFile.Named(KeyFile.In(_directory)));
        using var agent = await server.NewAgentAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        var task = await member.CreateTaskAsync(On("box") with { Secrets = Given(("KEY", "the member's")) });
        var theft = new UpdateTaskRequest { Command = new CommandSpec { Shell = "echo $KEY | rev" } };
        await server.Client.PatchJsonAsync("/api/tasks/" + task.Id, theft).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.Client.CancelAsync(task.Id)).EnsureSuccessStatusCode();
        var attempt = await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/retry", new RetryTaskRequest())).BodyAsync<TaskBody>();
        attempt.SecretNames!.ShouldBe(["KEY"]);
        await server.Client.PatchJsonAsync("/api/tasks/" + attempt.Id, theft).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);

        var own = await (await member.PatchJsonAsync("/api/tasks/" + attempt.Id, new UpdateTaskRequest { Priority = 7 })).BodyAsync<TaskBody>();
        (own.Priority, own.SecretNames!.Single()).ShouldBe((7, "KEY"));
        (await agent.ClaimAsync(own.StepId())).Secrets!["KEY"].ShouldBe("the member's");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task With_another_key_the_step_ends_and_says_which_is_missing(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var (first, second) = (KeyFile.In(_directory, "first"), KeyFile.In(_directory, "second"));
        TaskBody task, plain;
        DeviceClient agent;
        await using (var server = await ServerFixture.StartAsync(database.Url, KeyFile.Named(first)))
        {
            agent = await server.NewAgentAsync("box");
            task = await server.Client.CreateTaskAsync(On("box") with { Secrets = Given(("KEY", "value")) });
            plain = await server.Client.CreateTaskAsync(On("box"));
        }
        await using (var server = await ServerFixture.StartAsync(database.Url, KeyFile.Named(second)))
        {
            using var same = SameOn(server, agent);
            (await same.TryClaimAsync(task.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NotClaimable)).CurrentState.ShouldBe("failed");
            var step = (await server.Client.TaskAsync(task.Id)).Execution!.Steps.Single();
            (step.State, step.Reason).ShouldBe((StepState.Failed, StepReason.SecretsLost));
            step.Detail!.ShouldContain("KEY");
            step.Detail!.ShouldContain(SecretsKey.Setting);
            (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/retry", new RetryTaskRequest()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("secrets_lost");
            await same.ClaimAsync(plain.StepId());
        }
        await using (var server = await ServerFixture.StartAsync(database.Url, KeyFile.Named(first)))
        {
            using var same = SameOn(server, agent);
            var attempt = await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/retry", new RetryTaskRequest())).BodyAsync<TaskBody>();
            (await same.ClaimAsync(attempt.StepId())).Secrets!["KEY"].ShouldBe("value");
        }
        agent.Dispose();
    }

    [Fact]
    public async Task Without_a_key_file_PostgreSQL_keeps_none_and_says_how_to()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Postgres);
        await server.NewInstanceAsync("box");
        var errors = (await server.Client.PostWithKeyAsync(On("box") with { Secrets = Given(("A", "x")) }, "key").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!;
        errors.Keys.ShouldBe(["secrets"]);
        errors["secrets"].Single().ShouldContain(SecretsKey.Setting);
    }

    [Fact]
    public async Task Beside_SQLite_a_key_is_made_with_the_first_secret_for_the_owners_eyes_and_kept()
    {
        Prerequisite.Linux();
        var database = "sqlite:" + _directory.File("tanjiren.db");
        var file = _directory.File("tanjiren.db.secrets-key");
        await using (var server = await ServerFixture.StartAsync(database))
        {
            await server.NewInstanceAsync("box");
            await server.Client.CreateTaskAsync(On("box"));
            File.Exists(file).ShouldBeFalse();
            await server.Client.CreateTaskAsync(On("box") with { Secrets = Given(("A", "x")) });
#pragma warning disable CA1416 // Linux, as required above
            File.GetUnixFileMode(file).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
#pragma warning restore CA1416
            server.Log.Lines.ShouldContain(line => line.Contains(file));
        }
        var made = await File.ReadAllTextAsync(file, Cancelled);
        await using (var server = await ServerFixture.StartAsync(database)) await server.Client.CreateTaskAsync(On("box") with { Secrets = Given(("A", "x")) });
        (await File.ReadAllTextAsync(file, Cancelled)).ShouldBe(made);
        await File.WriteAllTextAsync(file, "no key", Cancelled);
        (await Should.ThrowAsync<FormatException>(() => ServerFixture.StartAsync(database))).Message.ShouldContain(SecretsKey.Setting);
    }

    [Fact]
    public async Task A_named_key_file_that_is_not_there_stops_the_start()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite, ServerFixture.MigrateAsync);
        var missing = _directory.File("missing");
        (await Should.ThrowAsync<FormatException>(() => ServerFixture.StartAsync(database.Url, KeyFile.Named(missing)))).Message.ShouldContain(missing);
        File.Exists(missing).ShouldBeFalse("each server would make another");
    }

    private static Dictionary<string, string> Given(params (string Name, string Value)[] secrets) => secrets.ToDictionary(s => s.Name, s => s.Value);

    private static DeviceClient SameOn(ServerFixture server, DeviceClient agent) =>
        new(server.Url, TimeProvider.System) { Key = agent.Key, InstanceId = agent.InstanceId, AccessToken = agent.AccessToken, SessionId = agent.SessionId };

    /// <summary>Every cell of every table, bytes as they are.</summary>
    private static Task<string> DumpAsync(ServerFixture server) => server.Database.ReadAsync(async sql =>
    {
        var tables = await sql.ListAsync<string>(server.Database.Provider.Name == "sqlite"
            ? "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'" : "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()");
        var text = new StringBuilder();
        foreach (var table in tables)
            foreach (var row in (await sql.ListAsync<object>($"SELECT * FROM {table}")).Cast<IDictionary<string, object?>>())
                foreach (var cell in row.Values) text.Append(cell is byte[] bytes ? Encoding.Latin1.GetString(bytes) : $"{cell}").Append('\n');
        text.Length.ShouldBeGreaterThan(1000);
        return text.ToString();
    }, Cancelled);
}
