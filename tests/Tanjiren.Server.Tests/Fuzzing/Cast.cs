using System.Net;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.DeviceTrust.Rotations;
using Tanjiren.Server.Tests.Tasks.Http;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>
/// The people, machines and things of one fuzzing client: an organization of its own, so that clients that run at once do not disturb each other and one seed
/// makes the same cases again. It learns from answers what has become of them, and replaces what was used up.
/// </summary>
internal sealed class Cast : IDisposable
{
    private const int Kept = 40;

    private readonly ServerFixture _server;
    private readonly HttpClient _owner;
    private readonly Dictionary<string, List<string>> _made = [];
    private readonly Dictionary<string, List<string>> _seen = [];
    private readonly Dictionary<DeviceClient, string> _machines = [];
    private Person? _spareAdmin;
    private int _names;

    private Cast(ServerFixture server, string organizationId, HttpClient owner, Person founder)
    {
        (_server, OrganizationId, _owner) = (server, organizationId, owner);
        People.Add(founder);
        WaysIn = new WaysIn(server, organizationId, owner, founder);
    }

    public string OrganizationId { get; }
    public WaysIn WaysIn { get; }
    public List<Person> People { get; } = [];
    public List<Person> Cookies { get; } = [];
    public List<DeviceClient> Agents { get; } = [];
    public List<StepFact> Steps { get; } = [];

    /// <summary>The newest version of the doctrine, as far as answers have told.</summary>
    public int DoctrineVersion { get; set; } = 1;
    /// <summary>The version that a record is at, by its id.</summary>
    public Dictionary<string, long> Versions { get; } = [];

    /// <summary>Tokens, members and workstations that may be lost.</summary>
    public List<(string Id, Person Owner)> SpareTokens { get; } = [];
    public List<(string UserId, string Email)> SpareMembers { get; } = [];
    public List<string> SpareInstances { get; } = [];
    public List<string> PlannedTasks { get; } = [];
    public List<string> PairingCodes { get; } = [];
    public List<string> RecoveryCodes { get; } = [];
    public List<RotationFact> Rotations { get; } = [];
    public List<string> Schedules { get; } = [];

    public static async Task<Cast> CreateAsync(ServerFixture server)
    {
        var (organizationId, owner) = await server.NewOrganizationAsync();
        var me = await owner.GetBodyAsync<IdentityBody>("/api/auth/me");
        // With a token of its own: the one that the scenario is kept up with is in no request, so no request can end it.
        var cast = new Cast(server, organizationId, owner, await SignInAsync(server, me.UserId, me.Email, Role.Owner, organizationId));
        foreach (var role in new[] { Role.Viewer, Role.Member, Role.Admin }) cast.People.Add(await cast.HireAsync(role));
        for (var i = 0; i < 3; i++) await cast.AddAgentAsync();
        return cast;
    }

    private Person Founder => People.First(p => p.Role == Role.Owner);

    /// <summary>Unique on the server.</summary>
    public string NewName() => $"n{++_names}-{OrganizationId[^8..]}-{OrganizationId[5..12]}";

    public Person PersonOf(Role least, Random random)
    {
        var able = People.Where(p => p.Role >= least).ToList();
        return able[random.Next(able.Count)];
    }

    /// <summary>The machine id that this workstation's sessions are opened with.</summary>
    public string MachineOf(DeviceClient agent) => _machines.GetValueOrDefault(agent, "unknown");

    public DeviceClient Agent(Random random) => Agents[random.Next(Agents.Count)];

    /// <summary>An id that a POST to this collection made, or null.</summary>
    public string? MadeAt(string collection, Random random) => _made.TryGetValue(collection, out var ids) && ids.Count > 0 ? ids[random.Next(ids.Count)] : null;

    /// <summary>What an answer of the server said under this name, or null.</summary>
    public string? Seen(string name, Random random) => _seen.TryGetValue(name, out var values) ? values[random.Next(values.Count)] : null;

    public async Task<string> SpareInstanceAsync(Random random)
    {
        if (SpareInstances.Count == 0) SpareInstances.Add((await _server.NewInstanceAsync(NewName(), ["spare"], _owner)).Id);
        return SpareInstances[random.Next(SpareInstances.Count)];
    }

    /// <summary>A schedule of the cast, made if there is none.</summary>
    public async Task<string> ScheduleAsync(Random random) => Schedules.Count > 0 ? Schedules[random.Next(Schedules.Count)] : await NewScheduleAsync(random);

    public async Task<string> NewScheduleAsync(Random random)
    {
        var made = await (await _owner.PostJsonAsync("/api/schedules", new CreateScheduleRequest { Name = NewName(), Cron = "@yearly", Task = TaskCalls.On(Agent(random).InstanceId) }))
            .BodyAsync<ScheduleBody>();
        Note(Schedules, made.Id);
        return made.Id;
    }

    /// <summary>A task that may be retried.</summary>
    public async Task<string> CancelledTaskAsync(Random random)
    {
        var task = await (await _owner.PostJsonAsync("/api/tasks", TaskCalls.On(Agent(random).InstanceId))).BodyAsync<TaskBody>();
        (await _owner.CancelAsync(task.Id)).EnsureSuccessStatusCode();
        return task.Id;
    }

    public async Task<string> PairingCodeAsync()
    {
        if (PairingCodes.Count == 0)
        {
            var instance = await _server.NewInstanceAsync(NewName(), admin: _owner);
            PairingCodes.Add(await _server.NewPairingCodeAsync(instance.Id, _owner));
        }
        return PairingCodes[^1];
    }

    /// <summary>For a workstation of its own: the machine that redeems it takes the key of the one that it was made for.</summary>
    public async Task<string> RecoveryCodeAsync()
    {
        if (RecoveryCodes.Count == 0)
        {
            using var lost = await _server.NewDeviceAsync(NewName(), admin: _owner);
            RecoveryCodes.Add(await _owner.RecoveryCodeAsync(lost.InstanceId));
        }
        return RecoveryCodes[^1];
    }

    /// <summary>A request for another key that waits; made now, by a workstation of its own, if there is none.</summary>
    public async Task<RotationFact> RotationAsync(Random random)
    {
        if (Rotations.Count == 0)
        {
            using var device = await _server.NewDeviceAsync(NewName(), admin: _owner);
            using var next = device.WithNewKey();
            var asked = await device.RequestKeyAsync(next);
            Rotations.Add(new RotationFact(device.InstanceId, asked.Id, next.Last8()));
        }
        return Rotations[random.Next(Rotations.Count)];
    }

    public async Task<(string Id, Person Owner)> SpareTokenAsync()
    {
        if (SpareTokens.Count > 0) return SpareTokens[^1];
        var made = await (await _owner.PostJsonAsync("/api/auth/tokens", new CreateTokenRequest { Name = NewName() })).BodyAsync<CreatedToken>();
        SpareTokens.Add((made.Token.Id, Founder with { Secret = made.Secret }));
        return SpareTokens[^1];
    }

    /// <summary>A member who may be lost. Making one hashes a password, so not every request gets what it asks for: then it is one of the people.</summary>
    public async Task<string> SpareMemberAsync(Random random)
    {
        if (SpareMembers.Count > 0) return SpareMembers[random.Next(SpareMembers.Count)].UserId;
        if (random.Next(4) > 0) return Founder.UserId;
        var member = await AddMemberAsync(Role.Viewer);
        SpareMembers.Add((member.UserId, member.Email));
        return member.UserId;
    }

    /// <summary>An admin who may be removed or lose the role, and with it whatever stood on it.</summary>
    public async Task<Person> SpareAdminAsync()
    {
        if (_spareAdmin is null || SpareMembers.All(m => m.UserId != _spareAdmin.UserId))
        {
            _spareAdmin = await HireAsync(Role.Admin);
            Note(SpareMembers, (_spareAdmin.UserId, _spareAdmin.Email));
        }
        return _spareAdmin;
    }

    /// <summary>The role of this member was changed.</summary>
    public void ForgetRole(string userId)
    {
        if (_spareAdmin?.UserId == userId) _spareAdmin = null;
    }

    /// <summary>Somebody whose browser is signed in.</summary>
    public async Task<Person> CookieAsync(Random random)
    {
        if (Cookies.Count == 0)
        {
            using var anonymous = _server.NewClient(null);
            var login = await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = Founder.Email, Password = ServerFixture.Password, Organization = OrganizationId });
            login.EnsureSuccessStatusCode();
            Cookies.Add(Founder with { Secret = login.Headers.GetValues("Set-Cookie").First().Split(';')[0], IsCookie = true });
        }
        return Cookies[random.Next(Cookies.Count)];
    }

    /// <summary>A step that one of the workstations holds; claimed now, if there is none.</summary>
    public async Task<StepFact> HeldStepAsync(Random random, bool asks = false)
    {
        if (Steps.Where(s => s.Held && (!asks || s.Asks)).ToList() is { Count: > 0 } held) return held[random.Next(held.Count)];
        for (var attempt = 0; ; attempt++)
        {
            var agent = Agent(random);
            // A beat first: an earlier one may have said that the machine drains, runs one step at most, or has no coding agent. One that is refused (the
            // machine's sign-in has ended) leaves it at that: no task that asks could be made for it, and its claim would be refused too.
            var answer = await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 1000, CodingAgents = ["claude", "codex"] });
            if (answer.IsSuccessStatusCode)
            {
                var step = await QueuedStepAsync(random, agent, asks);
                answer = await agent.TryClaimAsync(step.Id, expectedGeneration: step.Generation);
                if (answer.StatusCode == HttpStatusCode.OK)
                {
                    (step.Held, step.Holder, step.Generation, step.LogSeq) = (true, agent, (await answer.BodyAsync<ClaimResponse>()).LeaseGeneration, 0);
                    return step;
                }
                step.Ended = true; // or nobody here can have it: leave it
            }
            await _owner.PostAsync($"/api/instances/{agent.InstanceId}/undrain", null, TestContext.Current.CancellationToken);
            if (attempt < 4) continue;
            await ReplaceAsync(agent);
            if (attempt > 8) throw new InvalidOperationException($"no step can be claimed: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)}");
        }
    }

    /// <summary>The step of a new task, claimed by the workstation that it was made for; null: that one can't have it just now.</summary>
    public async Task<StepFact?> ClaimNewAsync(Random random, Func<DeviceClient, CreateTaskRequest> request)
    {
        var agent = Agent(random);
        await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 1000, CodingAgents = ["claude", "codex"] });
        var made = await _owner.PostJsonAsync("/api/tasks", request(agent));
        var task = made.StatusCode == HttpStatusCode.Created ? await made.BodyAsync<TaskBody>() : null;
        var claim = task?.Execution is { Steps.Count: > 0 } ? await agent.TryClaimAsync(task!.StepId()) : null;
        if (claim is { StatusCode: HttpStatusCode.OK })
        {
            Add(new StepFact(task!.StepId(), task!.Id) { Holder = agent, Held = true, Generation = (await claim.BodyAsync<ClaimResponse>()).LeaseGeneration });
            return Steps[^1];
        }
        await _owner.PostAsync($"/api/instances/{agent.InstanceId}/undrain", null, TestContext.Current.CancellationToken);
        if (random.Next(3) == 0) await ReplaceAsync(agent);
        return null;
    }

    public async Task<StepFact> QueuedStepAsync(Random random, DeviceClient? forAgent = null, bool asks = false)
    {
        var queued = Steps.Where(s => !s.Held && !s.Ended && (!asks || s.Asks) && (forAgent is null || s.Holder == forAgent)).ToList();
        if (queued.Count > 0) return queued[random.Next(queued.Count)];
        var agent = forAgent ?? Agent(random);
        var task = await (await _owner.PostJsonAsync("/api/tasks", asks ? Inquiry(agent.InstanceId) : TaskCalls.On(agent.InstanceId))).BodyAsync<TaskBody>();
        Add(new StepFact(task.StepId(), task.Id) { Holder = agent, Asks = asks });
        return Steps[^1];
    }

    /// <summary>A task with a question of each form.</summary>
    public static CreateTaskRequest Inquiry(params string[] workstations) => TaskCalls.On(workstations) with
    {
        Mode = TaskMode.Investigate,
        Command = null,
        Questions =
        [
            new() { Name = "what", Text = "What is it?" }, new() { Name = "parts", Text = "Which parts?", Form = AnswerForm.List },
            new() { Name = "safe", Text = "Is it safe?", Form = AnswerForm.YesNo }, new() { Name = "entry", Text = "Where is the door?", Form = AnswerForm.Object, Fields = ["side", "floor"] },
        ],
    };

    /// <summary>A good answer to one of those.</summary>
    public static StepAnswerRequest AnswerTo(string question, long generation) => new()
    {
        LeaseGeneration = generation, Question = question, Asked = 1, Evidence = [new() { File = "plan.md", Line = 1, EndLine = 2, Note = "drawn" }, new() { Command = "ls" }],
        Answer = JsonDocument.Parse(question switch { "what" => "\"A house.\"", "parts" => """["roof"]""", "safe" => "true", _ => """{"side":"north","floor":null}""" }).RootElement,
    };

    /// <summary>A task that waits for an approval; made now, if there is none. It may have been answered since by somebody of the cast.</summary>
    public async Task<string> PlannedTaskAsync(Random random)
    {
        if (PlannedTasks.Count > 0 && random.Next(4) > 0) return PlannedTasks[random.Next(PlannedTasks.Count)];
        var task = await (await _owner.PostJsonAsync("/api/tasks", TaskCalls.On(Agent(random).InstanceId) with { ApprovalClass = ApprovalClass.SensitiveWrite })).BodyAsync<TaskBody>();
        Note(PlannedTasks, task.Id);
        return task.Id;
    }

    public StepFact? AnyStep(Random random) => Steps.Count == 0 ? null : Steps[random.Next(Steps.Count)];

    public void Add(StepFact step)
    {
        Steps.Add(step);
        if (Steps.Count > 3 * Kept) Steps.RemoveAt(Steps.FindIndex(s => s.Ended) is >= 0 and var ended ? ended : 0);
    }

    public void NoteMade(string collection, string id) => Note(_made, collection, id);

    /// <summary>It was deleted.</summary>
    public void ForgetMade(string id)
    {
        foreach (var ids in _made.Values) ids.Remove(id);
        Versions.Remove(id);
    }

    /// <summary>Makes something as the owner, besides the requests that are played.</summary>
    public async Task<TBody> MakeAsync<TRequest, TBody>(string route, TRequest request) => await (await _owner.PostJsonAsync(route, request)).BodyAsync<TBody>();

    /// <summary>Remembers the words of an answer under their names, so that one route's answer is the next one's argument.</summary>
    public void NoteSeen(JsonElement answer)
    {
        if (answer.ValueKind != JsonValueKind.Object) return;
        foreach (var member in answer.EnumerateObject())
        {
            if (member.Value.ValueKind == JsonValueKind.Object) NoteSeen(member.Value);
            else if (member.Value.ValueKind == JsonValueKind.String && member.Value.GetString() is { Length: > 0 and <= 100 } text && (_seen.Count < 200 || _seen.ContainsKey(member.Name)))
                Note(_seen, member.Name, text);
        }
    }

    /// <summary>A workstation that is no longer admitted gives way to a new one.</summary>
    public async Task ReplaceAsync(DeviceClient agent)
    {
        if (!Agents.Remove(agent)) return;
        _machines.Remove(agent);
        agent.Dispose();
        Steps.RemoveAll(s => s.Holder == agent);
        await AddAgentAsync();
    }

    /// <summary>Who is no longer admitted gives way to somebody new of the same role; the founder signs in again, for there is one owner.</summary>
    public async Task ReplaceAsync(Person person)
    {
        Cookies.RemoveAll(c => c.Secret == person.Secret);
        WaysIn.Forget(person.Secret);
        var at = People.FindIndex(p => p.Secret == person.Secret);
        if (at < 0) return;
        var lost = People[at];
        People[at] = lost.Role == Role.Owner ? await SignInAsync(_server, lost.UserId, lost.Email, Role.Owner, OrganizationId) : await HireAsync(lost.Role);
    }

    /// <summary>
    /// The founder is the owner again; without it the next removal could take the credential that the scenario is kept up with. In the database, for the
    /// new owner may be a member whose password nobody here knows.
    /// </summary>
    public Task TakeOwnershipBackAsync() => _server.Database.WriteAsync(async tx =>
    {
        var to = new { OrganizationId, founderId = Founder.UserId };
        // In this order: the unique index never sees two owners.
        await tx.ExecuteAsync("UPDATE memberships SET role = 'admin' WHERE organization_id = @OrganizationId AND role = 'owner'", to);
        return await tx.ExecuteAsync("UPDATE memberships SET role = 'owner' WHERE organization_id = @OrganizationId AND user_id = @founderId", to);
    }, TestContext.Current.CancellationToken);

    public static void Note<T>(List<T> list, T item)
    {
        list.Add(item);
        if (list.Count > Kept) list.RemoveAt(0);
    }

    public void Dispose()
    {
        _owner.Dispose();
        WaysIn.Dispose();
    }

    private static void Note(Dictionary<string, List<string>> lists, string key, string value)
    {
        if (!lists.TryGetValue(key, out var list)) lists[key] = list = [];
        list.Add(value);
        if (list.Count > 8) list.RemoveAt(0);
    }

    private async Task<Person> HireAsync(Role role)
    {
        var member = await AddMemberAsync(role);
        return await SignInAsync(_server, member.UserId, member.Email, role, null);
    }

    private static async Task<Person> SignInAsync(ServerFixture server, string userId, string email, Role role, string? organization)
    {
        using var client = await server.SignInAsync(email, organization);
        return new Person(userId, email, role, client.DefaultRequestHeaders.Authorization!.Parameter!);
    }

    private async Task<MemberBody> AddMemberAsync(Role role) => await (await _owner.PostJsonAsync($"/api/organizations/{OrganizationId}/members",
        new AddMemberRequest { Email = NewName() + "@example.test", Password = ServerFixture.Password, Role = role })).BodyAsync<MemberBody>();

    private async Task AddAgentAsync()
    {
        var name = NewName();
        // Registered by its machine: only such a workstation is ever put under somebody's sign-in, and signed out with it.
        var machine = "machine of " + name;
        var agent = await _server.NewAgentAsync(name, ["fuzz"], maxConcurrent: 1000, admin: _owner, machineId: machine);
        _machines[agent] = machine;
        Agents.Add(agent);
    }
}
