using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.DeviceTrust.Rotations;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>What the scenario learns from an answer: new ids, who holds what, what is used up.</summary>
internal sealed class Lessons(Cast cast)
{
    public async Task LearnAsync(Draft draft, Answer answer)
    {
        if (answer.Status == 401 && draft.Route.Name != "login") await ReplaceAsync(draft);
        else if (answer.Status is >= 200 and < 300)
        {
            LearnSuccess(draft, answer);
            if (draft.Route.Name == "transferOwnership") await cast.TakeOwnershipBackAsync();
        }
        else if (answer.Status is 404 or 409 && draft.Step is { } step) Forget(draft, step, answer);
        else if (draft.Route.Name == "token") cast.WaysIn.LearnRefusal(draft, answer);
        else if (draft.Rotation is { } refused && answer.Status is 404 or 409) cast.Rotations.Remove(refused);
        else if (draft.Route.Name == "recover" && answer.Status == 422) cast.RecoveryCodes.Clear();
        draft.NewKey?.Dispose();
        if (draft.Device is { } device && draft.Route.Admission == Admission.Key && !cast.Agents.Contains(device)) device.Dispose();
    }

    private async Task ReplaceAsync(Draft draft)
    {
        if (draft.Device is { } device) await cast.ReplaceAsync(device);
        if (draft.Person is { } person) await cast.ReplaceAsync(person);
        cast.SpareTokens.RemoveAll(t => t.Owner.Secret == draft.Person?.Secret);
    }

    private void LearnSuccess(Draft draft, Answer answer)
    {
        var body = answer.MediaType == "application/json" ? TryParse(answer.Text) : default;
        if (body.ValueKind == JsonValueKind.Object && draft.Route.Method == "POST")
        {
            if (body.TryGetProperty("id", out var id) && id.ValueKind == JsonValueKind.String) cast.NoteMade(draft.Route.Template, id.GetString()!);
            cast.NoteSeen(body);
        }
        cast.WaysIn.Learn(draft, answer, body);
        if (body.ValueKind == JsonValueKind.Object && body.TryGetProperty("version", out var version) && version.ValueKind == JsonValueKind.Number && version.TryGetInt64(out var number) && body.TryGetProperty("id", out var versioned))
            cast.Versions[versioned.GetString()!] = number;
        if (draft.Route.Method == "DELETE" && draft.Path.Count == 1 && draft.Path.TryGetValue("id", out var deleted)) cast.ForgetMade(Uri.UnescapeDataString(deleted));
        if (answer.Status != 204 && body.ValueKind != JsonValueKind.Object) return;
        var named = draft.Path.TryGetValue("id", out var value) ? Uri.UnescapeDataString(value) : "";
        switch (draft.Route.Name)
        {
            case "createTask":
                LearnSteps(body);
                break;
            case "updateTask" or "approveTask" or "rejectTask":
                // Its steps are others now, or it has some at last.
                var changed = body.GetProperty("id").GetString();
                cast.PlannedTasks.Remove(changed!);
                if (draft.Route.Name == "updateTask") foreach (var old in cast.Steps.Where(s => s.TaskId == changed)) old.Ended = true;
                LearnSteps(body);
                break;
            case "claimStep" when draft.Step is { } claimed && claimed.Id == named:
                (claimed.Held, claimed.Holder, claimed.LogSeq) = (true, draft.Device, 0);
                claimed.Generation = body.GetProperty("leaseGeneration").GetInt64();
                break;
            case "appendStepLogs" when draft.Step is { } printed && printed.Id == named:
                printed.LogSeq = body.GetProperty("storedSeq").GetInt64();
                break;
            case "completeStep" or "releaseStep" when draft.Step is { } done && done.Id == named:
                done.Held = false;
                done.Ended = body.GetProperty("state").GetString() != "queued";
                done.Generation++;
                break;
            case "openSession":
                draft.Device!.SessionId = body.GetProperty("sessionId").GetString();
                break;
            case "setDoctrine" or "getDoctrine":
                cast.DoctrineVersion = body.GetProperty("version").GetInt32();
                break;
            case "createInstance":
                Cast.Note(cast.SpareInstances, body.GetProperty("id").GetString()!);
                break;
            case "createSchedule":
                Cast.Note(cast.Schedules, body.GetProperty("id").GetString()!);
                break;
            case "deleteSchedule":
                cast.Schedules.Remove(named);
                break;
            case "removeInstance":
                cast.SpareInstances.Remove(named);
                break;
            case "createPairingCode":
                Cast.Note(cast.PairingCodes, body.GetProperty("code").GetString()!);
                break;
            case "pair":
                cast.SpareInstances.Remove(body.GetProperty("instanceId").GetString()!);
                cast.PairingCodes.Clear(); // each works once, and which one was sent is not always known
                break;
            case "createRecoveryCode":
                Cast.Note(cast.RecoveryCodes, body.GetProperty("code").GetString()!);
                break;
            case "recover":
                // It takes the place of what waited there, and of its code.
                cast.RecoveryCodes.Clear();
                cast.Rotations.RemoveAll(r => r.InstanceId == body.GetProperty("instanceId").GetString());
                Cast.Note(cast.Rotations, new RotationFact(body.GetProperty("instanceId").GetString()!, body.GetProperty("rotation").GetProperty("id").GetString()!, draft.Device!.Last8()));
                break;
            case "requestKeyRotation":
                cast.Rotations.RemoveAll(r => r.InstanceId == body.GetProperty("instanceId").GetString());
                Cast.Note(cast.Rotations, new RotationFact(body.GetProperty("instanceId").GetString()!, body.GetProperty("id").GetString()!, draft.NewKey!.Last8()));
                break;
            case "approveKeyRotation" or "rejectKeyRotation":
                cast.Rotations.RemoveAll(r => r.Id == draft.Rotation!.Id);
                cast.RecoveryCodes.Clear(); // made for the key before
                break;
            case "createToken":
                cast.SpareTokens.Add((body.GetProperty("token").GetProperty("id").GetString()!, draft.Person! with { Secret = body.GetProperty("secret").GetString()!, IsCookie = false }));
                if (cast.SpareTokens.Count > 40) cast.SpareTokens.RemoveAt(0);
                break;
            case "revokeToken":
                cast.SpareTokens.RemoveAll(t => t.Id == named);
                break;
            case "logout":
                cast.SpareTokens.RemoveAll(t => t.Owner.Secret == draft.Person!.Secret);
                cast.Cookies.RemoveAll(c => c.Secret == draft.Person!.Secret);
                break;
            case "addMember":
                Cast.Note(cast.SpareMembers, (body.GetProperty("userId").GetString()!, body.GetProperty("email").GetString()!));
                break;
            case "removeMember":
                cast.PairingCodes.Clear(); // perhaps this member's: they have ended
                var removed = Uri.UnescapeDataString(draft.Path["userId"]);
                cast.SpareMembers.Where(m => m.UserId == removed).ToList().ForEach(m => Cast.Note(cast.WaysIn.Gone, m.Email));
                cast.SpareMembers.RemoveAll(m => m.UserId == removed);
                break;
            case "updateMember":
                cast.PairingCodes.Clear(); // likewise
                cast.ForgetRole(Uri.UnescapeDataString(draft.Path["userId"]));
                break;
            case "acceptInvitation" when answer.Cookie is { } first && cast.People.All(p => p.UserId != body.GetProperty("userId").GetString()):
                var (joinedId, joinedEmail) = (body.GetProperty("userId").GetString()!, body.GetProperty("email").GetString()!);
                Cast.Note(cast.SpareMembers, (joinedId, joinedEmail));
                cast.WaysIn.Gone.Remove(joinedEmail);
                Cast.Note(cast.Cookies, new Person(joinedId, joinedEmail, Enum.Parse<Role>(body.GetProperty("role").GetString()!, ignoreCase: true), first, IsCookie: true));
                break;
            case "login" when answer.Cookie is { } cookie:
                var me = body.GetProperty("userId").GetString();
                if (cast.People.FirstOrDefault(p => p.UserId == me) is { } person && body.GetProperty("organization").GetProperty("id").GetString() == cast.OrganizationId)
                    Cast.Note(cast.Cookies, person with { Secret = cookie, IsCookie = true });
                break;
        }
    }

    /// <summary>Those of a task that are not known yet; the same task again, by its idempotency key, is known already.</summary>
    private void LearnSteps(JsonElement task)
    {
        foreach (var step in task.GetProperty("execution").GetProperty("steps").EnumerateArray().Where(s => cast.Steps.All(known => known.Id != s.GetProperty("id").GetString())))
            cast.Add(new StepFact(step.GetProperty("id").GetString()!, task.GetProperty("id").GetString()!)
            {
                Holder = cast.Agents.FirstOrDefault(a => step.TryGetProperty("instanceId", out var i) && a.InstanceId == i.GetString()),
            });
        if (task.GetProperty("state").GetString() == "planned") Cast.Note(cast.PlannedTasks, task.GetProperty("id").GetString()!);
    }

    /// <summary>A refusal may mean that the step has moved on: it is not trusted again.</summary>
    private static void Forget(Draft draft, StepFact step, Answer answer)
    {
        if (draft.Route.Admission != Admission.Workstation) return;
        if (answer.Text.Contains("\"lease_lost\"", StringComparison.Ordinal)) step.Held = false;
        if (answer.Text.Contains("\"not_claimable\"", StringComparison.Ordinal) && draft.Changes.Count == 0) step.Ended = true;
    }

    private static JsonElement TryParse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<JsonElement>(text);
        }
        catch (JsonException)
        {
            return default; // longer than what was read
        }
    }
}
